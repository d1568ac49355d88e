/** Gradients, weights and updates by layer, alarms, attention, and what training took. */
import { chart } from "fedlayers/chart.js";
import { pathOf } from "fedlayers/data.js";
import { element } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { curves } from "fedlayers/views/training/curves.js";
import { askedOf, asTheyAre, named, roundShown, rowsWhere, sectionOf } from "fedlayers/views/training/section.js";

const MOST_ALARMS = 200;

/** @returns {Promise<HTMLElement[]>} the sections */
export async function drawDynamics(selection, context) {
  const asked = (name, metric) => askedOf(context.ask, pathOf("runs", selection.run, "charts", "training", name), metric);
  const [flow, alarms, attention, resources] = await Promise.all([
    asked("flow", selection["training.flow"]), asked("alarms"), asked("attention", selection["training.attention"]),
    asked("resources", selection["training.resource"]),
  ]);
  return [drawFlow(flow, alarms, selection, context), drawAttention(attention, selection, context), drawResources(resources, selection, context)];
}

function listed({ facts }, key, context) {
  const series = context.oneOf(`${key}.of`, facts.series, facts.series[0]);
  context.oneOf(key, facts.metrics, facts.metric);
  const lists = [
    ["metric", named(facts.metrics), facts.metric, (value) => context.select({ [key]: value })],
    ["of", asTheyAre(facts.series), series, (value) => context.select({ [`${key}.of`]: value })],
  ];
  return { series, lists };
}

function drawFlow(answer, alarms, selection, context) {
  const { columns, facts, length } = answer, { series, lists } = listed(answer, "training.flow", context);
  const { section, place } = sectionOf("flow", "What flows while clients train?", lists, facts.metrics.length ? "" : facts.without, ["flow", "alarms"]);
  if (!facts.metrics.length || !context.isCurrent()) return section;
  const rows = rowsWhere(length, (row) => columns.series[row] === series);
  curves(place("flow"), {
    title: `${facts.label} of each layer`, columns, facts, rows, by: "layer", order: facts.layers, strong: selection.layer, note: series,
    selection, context,
  });
  showAlarms(place("alarms"), alarms);
  return section;
}

function showAlarms(place, { columns, facts, length }) {
  place.charted = { columns, facts };
  if (!length) {
    place.replaceChildren(element("p", { class: "note" }, facts.looked ? "No alarm: no gradient vanished, exploded or was not finite." : ""));
    return;
  }
  const names = ["round", "client", "layer", "kind", "count"];
  const row = (_, at) => element("tr", {}, names.map((name) => element("td", {}, String(columns[name][at]))));
  place.replaceChildren(
    element("h3", {}, `Alarms: ${facts.total}${length > MOST_ALARMS ? `, the last ${MOST_ALARMS} kinds` : ""}`),
    element("table", {}, element("thead", {}, element("tr", {}, names.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, Array.from({ length: Math.min(length, MOST_ALARMS) }, row))),
  );
}

function drawAttention(answer, selection, context) {
  const { columns, facts, length } = answer, { series, lists } = listed(answer, "training.attention", context);
  const { section, place } = sectionOf("attention", "Where do heads look?", lists, facts.metrics.length ? "" : facts.without, ["attention"]);
  if (!facts.metrics.length || !context.isCurrent()) return section;
  const of = rowsWhere(length, (row) => columns.series[row] === series);
  const round = roundShown([...new Set(of.map((row) => columns.round[row]))].sort((a, b) => a - b), selection.round);
  const rows = of.filter((row) => columns.round[row] === round), names = ["layer", "head", "mean", "low", "high", "count"];
  const shown = Object.fromEntries(names.map((name) => [name, rows.map((row) => columns[name][row])]));
  const all = of.map((row) => columns.mean[row]);
  chart(place("attention"), {
    title: `${facts.label} of each head, round ${round}`, label: `${facts.layers.length} layers by ${facts.heads.length} heads`,
    table: { columns: shown, facts: { ...facts, round, series } }, notes: [series, "colours mean the same in all rounds"],
    height: 110 + 26 * Math.max(facts.layers.length, 5),
    option: (how) => heatMap({
      columns: facts.heads, rows: facts.layers, x: shown.head.map((one) => facts.heads.indexOf(one)),
      y: shown.layer.map((one) => facts.layers.indexOf(one)), values: shown.mean, limits: [Math.min(...all), Math.max(...all)],
      label: facts.label, across: "head", down: "layer", how,
    }),
    onSelect: ({ row }) => row !== undefined && context.select({ layer: shown.layer[row] }),
  });
  return section;
}

function drawResources(answer, selection, context) {
  const { columns, facts, length } = answer, { lists } = listed(answer, "training.resource", context);
  const without = facts.metrics.length ? "" : "nothing that training took was noted";
  const { section, place } = sectionOf("resources", "What did training take?", lists.slice(0, 1), without, ["resources"]);
  if (!facts.metrics.length || !context.isCurrent()) return section;
  curves(place("resources"), {
    title: `${facts.label} in each round`, columns, facts, rows: rowsWhere(length, () => true), by: "series", order: facts.series, note: "",
    selection, context,
  });
  return section;
}
