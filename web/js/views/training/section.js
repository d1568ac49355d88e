/** A section of the view: a heading, lists to choose from, places for charts, and what to do where there is nothing. */
import { choice, element } from "fedlayers/html.js";

/** @type {Map<string, HTMLElement>} */
const sections = new Map();

/**
 * Returns a section, the same one for a name, with its lists as they are now.
 * @param {string} name
 * @param {string} heading
 * @param {[string, [string, string][], string, (value: string) => void][]} lists label, values and texts, chosen, listener
 * @param {string} without what to do where nothing was measured; empty where something was.
 * @param {string[]} charts names of the places for charts
 * @returns {{section: HTMLElement, place: (chart: string) => HTMLElement}}
 */
export function sectionOf(name, heading, lists, without, charts) {
  let section = sections.get(name);
  if (!section) {
    section = element("section", { class: "part", id: `part-${name}`, "aria-label": heading });
    sections.set(name, section);
    section.append(element("h2", {}, heading), element("p", { class: "lists" }), element("p", { class: "note without" }));
    section.append(element("div", { class: "charts" }, charts.map((chart) => element("div", { class: "place", "data-chart": chart }))));
  }
  renew(section.querySelector(".lists"), lists);
  const note = section.querySelector(".without");
  note.textContent = without && `Not measured: ${without}.`;
  note.toggleAttribute("hidden", !without);
  section.querySelector(".charts").toggleAttribute("hidden", Boolean(without));
  return { section, place: (chart) => section.querySelector(`[data-chart="${chart}"]`) };
}

function renew(place, lists) {
  const offered = lists.filter(([, options]) => options.length > 1);
  const state = JSON.stringify(offered.map(([label, options, chosen]) => [label, options, chosen]));
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  const focused = [...place.querySelectorAll("select")].indexOf(document.activeElement);
  place.replaceChildren(...offered.map((list) => choice(...list)));
  // The list in which something was chosen keeps the keyboard.
  place.querySelectorAll("select")[focused]?.focus();
}

/** Names of metrics as texts of a list: `class_f1` is "class f1". @param {string[]} names @returns {[string, string][]} */
export const named = (names) => names.map((name) => [name, name.replaceAll("_", " ")]);

/** Texts that are their own values. @param {string[]} names @returns {[string, string][]} */
export const asTheyAre = (names) => names.map((name) => [name, name]);

/** The last of the rounds up to the one that is selected, else the first. @param {number[]} rounds @param {?number} asked */
export function roundShown(rounds, asked) {
  const before = rounds.filter((round) => asked === null || asked === undefined || round <= asked);
  return before.at(-1) ?? rounds[0];
}

/** Rows of a chart that have a value in a column. @returns {number[]} their numbers */
export function rowsWhere(length, says) {
  return Array.from({ length }, (_, row) => row).filter(says);
}

/**
 * Asks for a chart of a metric; of a run that did not measure it, for that of its first metric.
 * @param {import("fedlayers/page.js").Context["ask"]} ask @param {string} path @param {?string} [metric]
 */
export async function askedOf(ask, path, metric) {
  try {
    return await ask(path, { metric });
  } catch (error) {
    if (!metric || error.name !== "Refusal") throw error;
    return ask(path);
  }
}
