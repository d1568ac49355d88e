/** How well each class is recognised, and what happened while clients trained. */
import { drawClasses } from "fedlayers/views/training/classes.js";
import { drawDynamics } from "fedlayers/views/training/dynamics.js";
import { element } from "fedlayers/html.js";

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, context) {
  if (!place.querySelector(".training")) place.append(element("div", { class: "training" }));
  const parts = [...(await drawClasses(selection, context)), ...(await drawDynamics(selection, context))];
  if (!context.isCurrent()) return;
  const box = place.querySelector(".training");
  // In the same order with every selection: what is there stays, so that the keyboard's place is kept.
  parts.forEach((part, at) => box.children[at] !== part && box.insertBefore(part, box.children[at] ?? null));
  while (box.children.length > parts.length) box.lastChild.remove();
}
