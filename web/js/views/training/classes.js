/** Scores of classes by client, and of head, medium and tail classes over the rounds. */
import { chart } from "fedlayers/chart.js";
import { pathOf } from "fedlayers/data.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { askedOf, asTheyAre, named, roundShown, rowsWhere, sectionOf } from "fedlayers/views/training/section.js";
import { curves } from "fedlayers/views/training/curves.js";

const METRIC = "training.class", SERIES = "training.series", WAY = "training.tiers";

/** @returns {Promise<HTMLElement[]>} the sections */
export async function drawClasses(selection, context) {
  const score = selection[METRIC]?.replace(/^class_/, "");
  const path = (name) => pathOf("runs", selection.run, "charts", "training", name);
  const [classes, tiers] = await Promise.all([
    askedOf(context.ask, path("classes"), score && `class_${score}`), askedOf(context.ask, path("tiers"), score && `tier_${score}`),
  ]);
  const { facts } = classes, { oneOf } = context, series = oneOf(SERIES, facts.series, facts.series[0]), way = oneOf(WAY, tiers.facts.series, tiers.facts.series[0]);
  oneOf(METRIC, facts.metrics.flatMap((name) => [name, name.replace(/^class_/, "")]), facts.metric);
  const { section, place } = sectionOf("classes", "How well is each class recognised?", [
    ["score", named(facts.metrics), facts.metric, (value) => context.select({ [METRIC]: value })],
    ["measured", asTheyAre(facts.series), series, (value) => context.select({ [SERIES]: value })],
    ["tiers", asTheyAre(tiers.facts.series), way, (value) => context.select({ [WAY]: value })],
  ], facts.metrics.length ? "" : facts.without, ["classes", "tiers"]);
  if (facts.metrics.length && context.isCurrent()) {
    drawHeatMap(place("classes"), classes, series, selection, context);
    drawTiers(place("tiers"), tiers, way, selection, context);
  }
  return [section];
}

function drawHeatMap(place, { columns, facts, length }, series, selection, context) {
  const measured = [...new Set(rowsWhere(length, (row) => columns.series[row] === series).map((row) => columns.round[row]))];
  const round = roundShown(measured.sort((a, b) => a - b), selection.round);
  const rows = rowsWhere(length, (row) => columns.series[row] === series && columns.round[row] === round);
  const clients = [...new Set(rows.map((row) => columns.client_name[row]))];
  const at = (name) => rows.map((row) => columns[name][row]);
  const shown = Object.fromEntries(["client", "client_name", "class", "value", "n", "reason"].map((name) => [name, at(name)]));
  chart(place, {
    title: `${facts.label} of each class, round ${round}`, label: `${series}, ${clients.length} clients by ${facts.classes.length} classes`,
    table: { columns: shown, facts: { ...facts, round, series } }, height: 110 + 22 * Math.min(Math.max(clients.length, 6), 30),
    notes: [series, shown.value.some(Number.isNaN) ? "grey: no value, as of a class without examples" : ""],
    option: (how) => heatMap({
      columns: facts.classes, rows: clients, x: shown.class.map((one) => facts.classes.indexOf(one)),
      y: shown.client_name.map((one) => clients.indexOf(one)), values: shown.value, limits: facts.limits, label: facts.label,
      across: "class", down: "client", how, tip: (row) => [`${shown.n[row]} examples of the class`],
    }),
    onSelect: ({ row }) => {
      if (row === undefined) return;
      const client = shown.client[row];
      context.select({ class: shown.class[row], ...(Number.isNaN(client) ? {} : { client }) });
    },
  });
}

function drawTiers(place, { columns, facts, length }, way, selection, context) {
  const rows = rowsWhere(length, (row) => columns.series[row] === way);
  const there = new Set(rows.map((row) => columns.tier[row]));
  curves(place, {
    title: `${facts.label} of frequent and rare classes`, columns, facts, rows, by: "tier", order: facts.tiers.filter((tier) => there.has(tier)), kinds: true,
    note: way, limits: [0, 1], selection, context,
  });
}
