/** How far clients are from each other in every metric: the metrics of one client, or of one layer. */
import { DIVERGING } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { frames, heightOf, overlaid } from "fedlayers/marks/overlay.js";
import { roundNote } from "fedlayers/views/layers/values.js";

/** @param {any} parts @param {any} about */
export function drawCube(parts, about) {
  const { ask, path, selection } = about;
  document.getElementById("layers-series")?.replaceChildren();
  const fixed = selection["layers.face"] === "client" ? selection.client : selection.layer;
  const key = `${selection["layers.face"]} ${fixed} ${selection.round}`;
  return overlaid(parts.heat, ask(path("deviations"), { round: selection.round }), key, (table) => chartOf(table, about), ({ columns, facts }) => {
    const metrics = [...new Set(columns.metric)], row = metrics.indexOf(selection.metric);
    if (selection["layers.face"] === "client") return frames({ row, column: facts.layers.indexOf(selection.layer) }, metrics.length, facts.layers.length);
    const column = facts.clients.findIndex((one) => one.client === selection.client);
    return frames({ row, column }, metrics.length, facts.clients.length);
  });
}

function chartOf(table, { selection, select }) {
  const { columns, facts } = table, isOfClient = selection["layers.face"] === "client";
  const client = facts.clients.find((one) => one.client === selection.client) ?? facts.clients[0];
  const layer = facts.layers.includes(selection.layer) ? selection.layer : facts.layers.at(-1);
  const shown = [];
  columns.metric.forEach((_, row) => (isOfClient ? columns.client[row] === client.client : columns.layer[row] === layer) && shown.push(row));
  const metrics = [...new Set(columns.metric)], labels = metrics.map((name) => columns.label[columns.metric.indexOf(name)]);
  const across = isOfClient ? facts.layers : facts.clients.map((one) => one.name);
  const places = new Map(isOfClient ? facts.layers.map((name, at) => [name, at]) : facts.clients.map((one, at) => [one.client, at]));
  const of = (name) => shown.map((row) => columns[name][row]);
  const x = of(isOfClient ? "layer" : "client").map((one) => places.get(one));
  const rowAt = new Map(metrics.map((name, at) => [name, at]));
  const values = of("score"), unscored = values.filter(Number.isNaN).length;
  const what = isOfClient ? `client ${client.name}` : `layer ${layer}`;
  return {
    title: `How far ${isOfClient ? `${what} is from the other clients` : `clients are from each other at ${what}`}, round ${facts.round}`,
    label: `a heat map of ${metrics.length} metrics and ${across.length} ${isOfClient ? "layers" : "clients"}. ${facts.label}`,
    height: heightOf(metrics.length), table,
    notes: [
      facts.label, `beyond ±${facts.odd} is odd (Iglewicz & Hoaglin 1993)`, roundNote(facts, selection),
      unscored ? `${unscored} without: too few clients, or most are the same` : "",
    ],
    option: (how) => heatMap({
        columns: across, rows: labels, x, y: of("metric").map((name) => rowAt.get(name)), values, ids: shown,
        limits: facts.scale.limits, colours: DIVERGING, label: "modified z score", across: isOfClient ? "layer" : "client",
        down: "", how, tip: (at) => [`value ${short(columns.value[shown[at]])}, ${columns.series[shown[at]]}`],
      }),
    onSelect: ({ row }) => {
      if (row === undefined) return;
      const metric = columns.metric[row];
      select({ metric, "layers.series": null, ...(isOfClient ? { client: client.client, layer: columns.layer[row] } : { client: columns.client[row], layer }) });
    },
  };
}
