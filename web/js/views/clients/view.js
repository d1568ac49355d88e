/** How alike clients are by any measure, who belongs together, how that changes, and who holds what. */
import { pathOf } from "fedlayers/data.js";
import { choice, element, tellAll } from "fedlayers/html.js";
import { drawFlows } from "fedlayers/views/clients/flows.js";
import { drawMatrix } from "fedlayers/views/clients/matrix.js";
import { drawMap, drawMerging } from "fedlayers/views/clients/merging.js";
import { drawPartition } from "fedlayers/views/clients/partition.js";

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, context) {
  const { run } = context.run.facts;
  const known = await context.ask(pathOf("runs", run, "charts", "clients"));
  if (!context.isCurrent()) return;
  const parts = built(place), { columns, facts } = known, metrics = [...new Set(columns.metric)];
  const metric = metrics.includes(selection.metric) ? selection.metric : facts.main;
  const layers = columns.layer.filter((_, row) => columns.metric[row] === metric);
  // A layer that is selected elsewhere may not be compared by this measure.
  const layer = layers.includes(selection.layer) ? selection.layer : null;
  const about = {
    ...context, selection, known, metric, layer, path: (...more) => pathOf("runs", run, "charts", "clients", ...more),
    params: { metric, layer, round: selection.round, setting: selection["clients.setting"] },
  };
  tellAll(parts.damaged, facts.damaged);
  parts.nothing.toggleAttribute("hidden", metrics.length > 0 || facts.damaged.length > 0);
  parts.nothing.textContent = `${facts.not_yet
    ? `No two clients have been compared yet; the run begins to measure ${facts.not_yet}.` : "No two clients were compared."} What compares clients is, among others, metrics=[distances,clusters] and similarity=[cka].`;
  for (const part of [parts.controls, parts.pairs]) part.toggleAttribute("hidden", !metrics.length);
  const asked = [drawFlows(parts.flows, about), drawPartition(parts.holdings, about)];
  if (metrics.length) {
    parts.controls.replaceChildren(...controls(about, metrics, layers));
    asked.push(drawMatrix(parts, about), drawMerging(parts.merging, about), drawMap(parts.map, about));
  }
  await Promise.all(asked);
}

/** What stands in the place, made once. @param {HTMLElement} place */
function built(place) {
  if (place.parts) return place.parts;
  const named = (id, name = "") => element("div", { id: `clients-${id}`, class: name });
  const parts = {
    damaged: named("damaged"), nothing: element("p", { class: "note", hidden: true }),
    controls: named("controls", "controls"), pairs: named("pairs", "charts"), matrix: named("matrix"), merging: named("merging"),
    map: named("map"), others: named("others", "charts"), flows: named("flows"), holdings: named("holdings"),
  };
  parts.pairs.append(element("div", {}, parts.matrix), element("div", {}, parts.merging, parts.map));
  parts.others.append(parts.flows, parts.holdings);
  place.append(parts.damaged, parts.nothing, parts.controls, parts.pairs, parts.others);
  place.parts = parts;
  return parts;
}

/** @param {any} about @param {string[]} metrics @param {string[]} layers */
function controls({ known, metric, layer, selection, select }, metrics, layers) {
  const { columns } = known;
  const labelled = metrics.map((name) => [name, columns.label[columns.metric.indexOf(name)]]);
  const isWhole = layers.includes("whole model");
  return [
    choice("measure", labelled, metric, (name) => select({ metric: name, "clients.setting": null })),
    layers.length > 1 ? choice("at", layers.map((name) => [name, name]), layer ?? (isWhole ? "whole model" : layers.at(-1)), (name) => select({ layer: name })) : null,
    element("span", { id: "clients-setting" }), element("span", { id: "clients-order" }),
    selection.metric && selection.metric !== metric ? element("span", { class: "note" }, `${selection.metric} compares no clients`) : null,
  ].filter(Boolean);
}
