/** What stands in a long view: its headings as buttons that lead to them, on top while the view is scrolled. */
import { element, filled } from "fedlayers/html.js";

const FEWEST = 2;

/** Names the parts of a view that can be seen now. @param {HTMLElement & {contents?: HTMLElement}} place */
export function drawContents(place) {
  const heads = /** @type {HTMLElement[]} */ ([...place.querySelectorAll("h2")]).filter((head) => head.checkVisibility());
  const bar = (place.contents ??= element("nav", { class: "contents", "aria-label": "Parts of this view" }));
  if (bar.parentElement !== place) place.prepend(bar);
  bar.hidden = heads.length < FEWEST;
  filled(bar, heads.map(titleOf), () => heads.map((head) => {
    head.tabIndex = -1;
    return element("button", { type: "button", onclick: () => lead(head) }, titleOf(head));
  }));
}

/** @param {HTMLElement} head */
function lead(head) {
  head.scrollIntoView({ block: "start" });
  head.focus({ preventScroll: true });
}

/** A heading may end with a note of its own. @param {HTMLElement} head */
function titleOf(head) {
  return head.firstChild?.textContent?.trim() ?? "";
}
