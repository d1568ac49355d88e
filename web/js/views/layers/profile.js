/** A metric over the layers: means with bands, single values with standard errors, what chance gives, and one client. */
import { cleared, drawn } from "fedlayers/chart.js";
import { element } from "fedlayers/html.js";
import { lines } from "fedlayers/marks/lines.js";
import { PALETTE } from "fedlayers/colours.js";
import { roundNote, valuesOf } from "fedlayers/views/layers/values.js";

const MOST_PANELS = 4, GREY = "#888888";
/** In the order of the figures' colours. */
const RELATIONS = ["clients", "received", "aggregated", "rounds"];

/** @param {any} parts @param {any} about */
export async function drawProfile(parts, about) {
  const { ask, path, metric, selection } = about;
  const asked = ask(path("profile"), { metric, round: selection.round });
  const both = Promise.all([asked, valuesOf(about)]);
  // How many panels there are decides how many places.
  const panels = await asked.then(({ facts }) => facts.panels, () => [""]);
  if (!about.isCurrent()) return;
  const shown = panels.slice(0, MOST_PANELS);
  while (parts.profiles.children.length > shown.length) {
    cleared(parts.profiles.lastElementChild);
    parts.profiles.lastElementChild.remove();
  }
  while (parts.profiles.children.length < shown.length) parts.profiles.append(element("div"));
  await Promise.all(shown.map((panel, at) => drawn(parts.profiles.children[at], both, ([table, values]) =>
    chartOf(table, values, panel, panels.length - shown.length, about))));
}

function chartOf(table, values, panel, more, { selection, select }) {
  const { columns, facts } = table;
  const found = [...linesOf(columns, panel), ...ofClient(values, panel, facts, selection)];
  const height = facts.panels.length > 1 ? 230 : 320;
  return {
    title: `${facts.label} over layers${panel ? `, ${panel}` : ""}, round ${facts.round}`,
    label: found.map((line) => line.name).join("; "), table, height,
    notes: [
      facts.band, found.some((line) => line.stderr) ? "bars: ± 1 standard error" : "", facts.note, facts.missing[panel],
      roundNote(facts, selection), more > 0 && panel === facts.panels[MOST_PANELS - 1] ? `${more} more variants are in the tables` : "",
    ],
    option: (how) => marked(lines(found, { along: "layer", names: facts.layers, label: facts.label, scale: facts.scale, how }), facts, selection),
    onSelect: ({ row }) => {
      if (row === undefined) return;
      select({ layer: columns.layer[row] === selection.layer ? null : columns.layer[row] });
    },
  };
}

/** The lines of a panel. */
function linesOf(columns, panel) {
  const rowsOf = new Map();
  columns.line.forEach((name, row) => {
    if (columns.panel[row] !== panel) return;
    if (!rowsOf.has(name)) rowsOf.set(name, []);
    rowsOf.get(name).push(row);
  });
  return [...rowsOf].map(([name, rows]) => {
    const kind = columns.kind[rows[0]], who = columns.who[rows[0]];
    const of = (column) => rows.map((row) => columns[column][row]);
    const low = of("low"), stderr = of("stderr"), isChance = kind === "chance", isMany = columns.count[rows[0]] > 1;
    return {
      name, rows, x: of("place"), y: of("mean"), style: isChance ? "dotted" : who === "server" ? "dashed" : "solid",
      ...(isChance || isMany ? { low, high: of("high") } : {}), ...(stderr.some(Number.isFinite) ? { stderr } : {}),
      ...(isChance ? { colour: GREY } : who === "pairs" ? { colour: PALETTE[RELATIONS.indexOf(kind)] } : { kind }),
    };
  });
}

/** The selected client's own values, where the series that is shown is one of the panel. */
function ofClient({ columns, facts }, panel, profile, selection) {
  const isOfPanel = profile.panels.length < 2 || facts.series.startsWith(`${panel}, `);
  if (selection.client === undefined || !isOfPanel || facts.scale.colours === "diverging" || facts.round !== profile.round) return [];
  const rows = profile.layers.map((layer) => columns.layer.findIndex((name, row) => name === layer && columns.client[row] === selection.client));
  const of = (column) => rows.map((row) => row < 0 ? NaN : columns[column][row]);
  const y = of("value"), stderr = of("stderr"), name = facts.clients.find((one) => one.client === selection.client)?.name;
  if (name === undefined || !y.some(Number.isFinite)) return [];
  return [{ name: `client ${name}`, x: rows.map((_, place) => place), y, colour: PALETTE[3], ...(stderr.some(Number.isFinite) ? { stderr } : {}) }];
}

/** The option with a line at the selected layer. */
function marked(option, facts, selection) {
  const place = facts.layers.indexOf(selection.layer);
  if (place < 0 || !option.series.length) return option;
  option.series.push({
    type: "line", name: "selected", silent: true, data: [], tooltip: { show: false },
    markLine: {
      silent: true, symbol: "none", label: { show: false }, lineStyle: { width: 14, opacity: 0.18, type: "solid", color: GREY }, data: [{ xAxis: place }],
    },
  });
  return option;
}
