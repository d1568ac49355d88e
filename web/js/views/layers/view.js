/** What is measured of layers: of every client, over depth, before and after aggregation, and what is shared why. */
import { cleared } from "fedlayers/chart.js";
import { pathOf } from "fedlayers/data.js";
import { choice, element, tellAll } from "fedlayers/html.js";
import { drawCube } from "fedlayers/views/layers/cube.js";
import { drawPlan, drawTransition } from "fedlayers/views/layers/plan.js";
import { drawProfile } from "fedlayers/views/layers/profile.js";
import { drawReadouts } from "fedlayers/views/layers/readouts.js";
import { drawSpectra } from "fedlayers/views/layers/spectra.js";
import { drawValues } from "fedlayers/views/layers/values.js";

/** What is along the sides of the heat map; the third is what is held fixed. */
const FACES = [["metric", "one metric: clients × layers"], ["client", "one client: metrics × layers"], ["layer", "one layer: metrics × clients"]];
const FIRST = ["update_norm", "update_cosine", "cka"];

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, context) {
  const { run } = context.run.facts;
  const known = await context.ask(pathOf("runs", run, "charts", "layers"));
  if (!context.isCurrent()) return;
  const parts = built(place), metrics = known.columns.metric, { facts } = known;
  tellAll(parts.damaged, facts.damaged);
  parts.nothing.toggleAttribute("hidden", metrics.length > 0);
  parts.nothing.textContent = `${facts.not_yet
    ? `Nothing has been measured of single layers yet; the run begins to measure ${facts.not_yet}.` : "Nothing was measured of single layers."} Of layers measure, among others, metrics=[weights,gradients] and similarity=[cka].`;
  parts.measured.toggleAttribute("hidden", !metrics.length);
  const metric = metrics.includes(selection.metric) ? selection.metric : FIRST.find((one) => metrics.includes(one)) ?? metrics[0];
  const face = context.oneOf("layers.face", FACES.map(([name]) => name), "metric");
  const about = {
    ...context, path: (...more) => pathOf("runs", run, "charts", "layers", ...more), known, metric, face, selection,
    layers: facts.layers.map((layer) => layer.name),
  };
  const asked = [];
  if (metrics.length) {
    parts.controls.replaceChildren(...controls(about));
    asked.push(face === "metric" ? drawValues(parts, about) : drawCube(parts, about), drawProfile(parts, about));
  }
  asked.push(drawChosen(parts, about), drawPlan(parts, about), drawTransition(parts, about), drawReadouts(parts, about));
  await Promise.all(asked);
}

/** What stands in the place, made once. @param {HTMLElement} place */
function built(place) {
  if (place.parts) return place.parts;
  const named = (id, name = "") => element("div", { id: `layers-${id}`, class: name });
  const parts = {
    damaged: named("damaged"), nothing: element("p", { class: "note", hidden: true }), measured: named("measured"), curvature: named("curvature"),
    controls: named("controls", "controls"), main: named("main", "charts"), heat: named("heat"), profiles: named("profiles"),
    spectra: named("spectra"), sharing: named("sharing"), plans: named("plans", "charts"), plan: named("plan"),
    why: named("why"), transitions: named("transitions", "charts"), readouts: named("readouts"), depth: named("depth", "charts"),
    answers: named("answers"),
  };
  parts.main.append(parts.heat, parts.profiles);
  parts.measured.append(element("h2", {}, "What was measured of layers"), parts.controls, parts.main);
  parts.curvature.append(element("h2", {}, "Densities of eigenvalues"), parts.spectra);
  parts.plans.append(parts.plan, parts.why);
  parts.sharing.append(element("h2", {}, "Which layers are shared, and why"), parts.plans, parts.transitions);
  parts.readouts.append(element("h2", {}, "What layers read out, by depth"), parts.answers, parts.depth);
  place.append(parts.damaged, parts.nothing, parts.measured, parts.curvature, parts.sharing, parts.readouts);
  place.parts = parts;
  return parts;
}

/** @param {any} about */
function controls({ known, metric, face, selection, select }) {
  const { columns } = known;
  const names = columns.metric.map((name, at) => [name, `${columns.label[at]}${columns.table[at] === "pairs" ? " (between models)" : ""}`]);
  return [
    choice("heat map of", FACES, face, (one) => select({ "layers.face": one === "metric" ? null : one })),
    choice("metric", names, metric, (name) => select({ metric: name, "layers.series": null })),
    element("span", { id: "layers-series" }),
    selection.metric && selection.metric !== metric ? element("span", { class: "note" }, `${selection.metric} has no values of layers`) : null,
  ].filter(Boolean);
}

/** @param {any} parts @param {any} about */
async function drawChosen({ curvature, spectra: place }, about) {
  const { known, selection } = about, layer = selection.layer;
  const isThere = known.facts.spectra.length > 0;
  curvature.toggleAttribute("hidden", !isThere);
  if (!isThere) return undefined;
  if (known.facts.spectra.includes(layer)) return drawSpectra(place, about);
  cleared(place);
  place.append(element("p", { class: "note" }, layer ? `No density of eigenvalues was measured of ${layer}.` : "Choose a layer to see the density of its Hessian's eigenvalues."));
  return undefined;
}
