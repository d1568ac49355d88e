/** Several runs: a table to sort, filter and pick from, what is running, and how algorithms compare. */
import { drawComparison } from "fedlayers/views/study/comparison.js";
import { drawCurves } from "fedlayers/views/study/curves.js";
import { drawRunning } from "fedlayers/views/study/running.js";
import { drawRuns } from "fedlayers/views/study/runs.js";
import { element } from "fedlayers/html.js";

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, context) {
  const parts = built(place);
  const runs = drawRuns(parts.runs, selection, context);
  const curves = drawCurves(parts.curves, selection, context);
  await Promise.all([drawRunning(parts.running, context), runs, curves, drawComparison(parts.comparison, selection, context)]);
}

/** @param {HTMLElement} place */
function built(place) {
  place.parts ??= Object.fromEntries(["running", "runs", "curves", "comparison"].map((name) => {
    const part = element("div", { class: `study-${name}` });
    place.append(part);
    return [name, part];
  }));
  return place.parts;
}
