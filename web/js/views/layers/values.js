/** One metric of every client at every layer in one round, as a heat map. */
import { get } from "fedlayers/address.js";
import { DIVERGING, SEQUENTIAL } from "fedlayers/colours.js";
import { choice, short } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { frames, heightOf, overlaid } from "fedlayers/marks/overlay.js";

const MOST_REASONS = 3;

/** The heat map's table. @param {any} about @returns {Promise<import("fedlayers/data.js").Answer>} */
export function valuesOf({ ask, path, metric, selection }) {
  return ask(path("heat_map"), { metric, round: selection.round, series: selection["layers.series"] });
}

/** @param {any} parts @param {any} about */
export function drawValues(parts, about) {
  const asked = valuesOf(about);
  asked.then(({ facts }) => about.isCurrent() && listSeries(facts, about), () => {});
  return overlaid(parts.heat, asked, String(about.selection.round), (table) => chartOf(table, about), ({ facts, columns }) => {
    const row = facts.clients.findIndex((one) => one.client === about.selection.client);
    return frames({ row, column: facts.layers.indexOf(about.selection.layer) }, rowsOf(facts, columns).length, facts.layers.length);
  });
}

/** The names of the rows: clients, and below them the server. */
function rowsOf(facts, columns) {
  return [...facts.clients.map((one) => `client ${one.name}`), ...(columns.client.some(Number.isNaN) ? ["server"] : [])];
}

function listSeries(facts, { select, oneOf }) {
  const place = document.getElementById("layers-series");
  if (!place) return;
  oneOf("layers.series", facts.names, facts.series);
  const options = facts.names.map((name) => [name, name]);
  place.replaceChildren(...(options.length > 1 ? [choice("of", options, facts.series, (name) => select({ "layers.series": name }))] : []));
}

function chartOf(table, { selection, select }) {
  const { columns, facts, length } = table;
  const layerAt = new Map(facts.layers.map((name, at) => [name, at]));
  const all = rowsOf(facts, columns), rowAt = new Map(facts.clients.map((one, at) => [one.client, at]));
  const y = Array.from(columns.client, (client) => Number.isNaN(client) ? all.length - 1 : rowAt.get(client));
  const x = columns.layer.map((name) => layerAt.get(name));
  return {
    title: `${facts.label}, ${facts.series}, round ${facts.round}`,
    label: `a heat map of ${all.length} rows and ${facts.layers.length} layers, ${length} values from ${short(facts.scale.limits[0])} to ${short(facts.scale.limits[1])}`,
    height: heightOf(all.length), table, notes: notes(table, selection),
    option: (how) => heatMap({
        columns: facts.layers, rows: all, x, y, values: columns.value, limits: facts.scale.limits, logarithmic: facts.scale.is_log,
        colours: facts.scale.colours === "diverging" ? DIVERGING : SEQUENTIAL, darkIsLow: facts.scale.is_reversed,
        threshold: facts.scale.threshold, label: facts.label,
        across: "layer", down: "", how, tip: (at) => tip(columns, at),
      }),
    onSelect: ({ row }) => {
      if (row === undefined) return;
      const client = Number.isNaN(columns.client[row]) ? null : columns.client[row], layer = columns.layer[row];
      // What is selected already is given free.
      const isSame = (get().client ?? null) === client && get().layer === layer;
      select(isSame ? { client: null, layer: null } : { client, layer });
    },
  };
}

function tip(columns, at) {
  const found = [];
  if (Number.isFinite(columns.stderr[at])) found.push(`± ${short(columns.stderr[at])} (standard error)`);
  if (Number.isFinite(columns.n[at])) found.push(`n = ${short(columns.n[at])}`);
  return found;
}

/** What was left out, and why values are missing. */
function notes({ columns, facts }, selection) {
  const reasons = new Map();
  columns.value.forEach((value, at) => {
    if (Number.isNaN(value)) reasons.set(columns.reason[at] ?? "no reason given", (reasons.get(columns.reason[at] ?? "no reason given") ?? 0) + 1);
  });
  const told = [...reasons].slice(0, MOST_REASONS).map(([reason, count]) => `${count} without a value: ${reason}`);
  const { is_log: isLog, threshold } = facts.scale;
  const scale = isLog ? "colours on a logarithmic scale" : threshold ? `colours on a logarithmic scale beyond ±${short(threshold)}` : "";
  return [facts.note, roundNote(facts, selection), scale, "grey: no value", ...told];
}

/** Says which round is shown where it is not the one that is selected. @param {any} facts @param {any} selection */
export function roundNote(facts, selection) {
  if (selection.round === undefined || selection.round === facts.round) return "";
  return `not measured in round ${selection.round}: round ${facts.round} is shown`;
}
