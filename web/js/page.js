/**
 * The frame: which views there are, what is selected, and who is told.
 *
 * @typedef {Object} Context what a view draws with
 * @property {typeof import("fedlayers/data.js").ask} ask
 * @property {?{facts: any, models: [number, string][], quantities: any[]}} run what is said of the selected run.
 * @property {any[]} runs all runs: run, status, reason, facts.
 * @property {boolean} frozen whether this is a saved report.
 * @property {(patch: Record<string, any>) => void} select
 * @property {(key: string, names: string[], otherwise: string) => string} oneOf what the address says of something of which
 *   there are these, else what is shown otherwise; that there is none of what it says is told.
 * @property {() => boolean} isCurrent whether nothing newer was selected since this drawing began.
 *
 * @typedef {(place: HTMLElement, selection: any, context: Context) => (void|Promise<void>)} Draw
 *
 * @typedef {Object} View
 * @property {string} name in the address.
 * @property {string} title
 * @property {() => Promise<{draw: Draw}>} load its module, which is loaded when it is first looked at.
 * @property {string[]} [uses] what of the selection its lists in the head offer: `round`, `client`, `layer`, `class`.
 * @property {boolean} [ofStudy] whether it draws without a run.
 */
import * as address from "fedlayers/address.js";
import { drawContents } from "fedlayers/contents.js";
import { ask, forgetEarly, Gone, pathOf } from "fedlayers/data.js";
import { kept } from "fedlayers/frozen.js";
import { element } from "fedlayers/html.js";
import * as live from "fedlayers/live.js";
import { mistakesOf, noNumbers, noPicked, noSuch, noView, withoutLostRun } from "fedlayers/mistakes.js";
import { drawSelection } from "fedlayers/selection.js";
import { showTheme } from "fedlayers/theme.js";

/** In the order of their tabs; a new view is one more line. @type {View[]} */
export const VIEWS = [
  { name: "study", title: "Study", ofStudy: true, load: () => import("fedlayers/views/study.js") },
  { name: "rounds", title: "Rounds", uses: ["round", "client", "layer"], load: () => import("fedlayers/views/rounds.js") },
  { name: "layers", title: "Layers", uses: ["round", "layer", "client"], load: () => import("fedlayers/views/layers/view.js") },
  { name: "clients", title: "Clients", uses: ["round", "layer", "client"], load: () => import("fedlayers/views/clients/view.js") },
  // A saved report has no models and no records to ask.
  { name: "heterogeneity", title: "Heterogeneity", uses: kept ? ["client"] : ["round", "client", "layer"], load: () => (kept ? import("fedlayers/views/heterogeneity/saved.js") : import("fedlayers/views/heterogeneity/view.js")) },
  { name: "training", title: "Classes and training", uses: ["round", "layer", "client", "class"], load: () => import("fedlayers/views/training.js") },
  { name: "table", title: "Table", uses: ["round", "layer", "client"], load: () => import("fedlayers/views/table.js") },
];
const IN_WORDS = { name: "findings", title: "In words", ofStudy: true, load: () => import("fedlayers/views/findings.js") };
if (document.getElementById("findings")) VIEWS.push(IN_WORDS);

/** @type {Map<string, HTMLElement>} */
const places = new Map();
const main = /** @type {HTMLElement} */ (document.getElementById("view"));
/** What the address asks for and is not there is told here. */
const above = element("div", { id: "mistakes" });
main.prepend(above);
/** @type {any[]} */
let runs = [];
let drawing = 0;
/** What comes at once needs no sign of life. */
const SLOW_MS = 150;

/** Draws what is selected. */
export async function draw() {
  const number = ++drawing;
  const isCurrent = () => number === drawing;
  const { said, left: selection } = await found(address.get());
  if (!isCurrent()) return;
  const view = VIEWS.find((one) => one.name === selection.view) ?? VIEWS.find((one) => one.name === (runs.length > 1 ? "study" : "rounds"));
  show(view);
  const place = placeOf(view);
  try {
    const asked = view.ofStudy && !selection.run ? null : ask(pathOf("runs", chosenRun(selection)));
    const coming = loaded(view);
    coming.catch(() => {});
    const run = await asked;
    if (!isCurrent()) return;
    const { sentences, left } = mistakesOf(selection, run);
    const wrong = new Set([...said, ...noView(selection.view, VIEWS, view.title), ...noNumbers(address.notNumbers()), ...noPicked(selection.runs, runs), ...sentences]);
    tell(above, [...wrong].join(" "));
    drawSelection(left, run, runs, view);
    const oneOf = (key, names, otherwise) => {
      if (left[key] === undefined || names.includes(left[key])) return left[key] ?? otherwise;
      if (isCurrent()) tell(above, [...wrong.add(noSuch(key, left[key], names, otherwise))].join(" "));
      return otherwise;
    };
    const context = { ask, run, runs, frozen: Boolean(kept), select: address.set, isCurrent, oneOf };
    const module = await coming;
    if (!isCurrent()) return;
    await module.draw(place, run ? { ...left, run: run.facts.run } : left, context);
    if (!isCurrent()) return;
    tell(place, "");
    drawContents(place);
  } catch (error) {
    if (!isCurrent()) return;
    tell(place, error.message);
    if (!["Refusal", "Gone"].includes(error.name)) throw error;
  } finally {
    if (isCurrent()) finished(place);
  }
}

/** Returns what is selected without a run that there is none of; a run may have begun since they were listed. @param {any} selection */
async function found(selection) {
  const known = withoutLostRun(selection, runs);
  if (kept || !known.said.length) return known;
  await listRuns();
  return withoutLostRun(selection, runs);
}

/** Returns the module of a view, once the library of charts is there, too. @param {View} view */
async function loaded(view) {
  try {
    return (await Promise.all([view.load(), globalThis.chartsThere?.()]))[0];
  } catch (error) {
    // Its files did not come; a mistake in them is told as one.
    if (error instanceof TypeError) throw new Gone();
    throw error;
  }
}

/** Loads the other views one after another while nothing else is to be done: each is there when its tab is clicked. */
async function loadOthers() {
  globalThis.tablesThere?.().catch(() => {});
  for (const view of VIEWS) {
    await new Promise((done) => requestIdleCallback(done));
    const isThere = await view.load().then(() => true, () => false);
    if (!isThere) return;  // the service is gone: what is looked at then asks again
  }
}

/** @param {any} selection */
function chosenRun(selection) {
  const known = runs.map((line) => line.run);
  return selection.run ?? known[0];
}

/** Says above a view what went wrong, in the words of who said it. @param {HTMLElement} place @param {string} words */
function tell(place, words) {
  let told = place.querySelector(":scope > .told");
  if (!told && words) place.prepend((told = element("p", { class: "told", role: "alert" })));
  if (told) {
    told.textContent = words;
    told.toggleAttribute("hidden", !words);
  }
}

/** @param {View} view */
function placeOf(view) {
  let place = places.get(view.name);
  if (!place) {
    place = element("section", { id: `view-${view.name}`, "aria-label": view.title });
    places.set(view.name, place);
    main.append(place);
  }
  return place;
}

let waiting = 0;
/** Says that a view is being drawn; by its cursor where that takes long. @param {HTMLElement} place */
function begun(place) {
  place.setAttribute("aria-busy", "true");
  clearTimeout(waiting);
  waiting = setTimeout(() => place.hasAttribute("aria-busy") && place.setAttribute("data-waiting", ""), SLOW_MS);
}

/** @param {HTMLElement} place */
function finished(place) {
  clearTimeout(waiting);
  place.removeAttribute("aria-busy");
  place.removeAttribute("data-waiting");
}

/** @param {View} view */
function show(view) {
  const place = placeOf(view);
  for (const other of places.values()) other.toggleAttribute("hidden", other !== place);
  begun(place);
  for (const tab of document.querySelectorAll("#views a")) {
    const isHere = tab.getAttribute("data-view") === view.name;
    if (isHere) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
    tab.setAttribute("href", address.link({ view: tab.getAttribute("data-view") }));
  }
  document.title = `${view.title} · fedlayers`;
}

function drawTabs() {
  const list = /** @type {HTMLElement} */ (document.getElementById("views"));
  const tab = (view) => element("a", { "data-view": view.name, href: address.link({ view: view.name }) }, view.title);
  list.replaceChildren(...VIEWS.map((view) => element("li", {}, tab(view))));
}

/** @param {string} state */
function showService(state) {
  const place = /** @type {HTMLElement} */ (document.getElementById("live"));
  place.dataset.state = state;
  place.textContent = { live: "live", gone: "the service is gone; asking again …", saved: "saved report" }[state] ?? "";
}

async function listRuns() {
  try {
    runs = await ask("runs");
    tell(main, "");
  } catch (error) {
    tell(main, error.message);
  }
}

let soon = 0;
/** Draws again soon, once for many changes. */
function drawSoon() {
  soon ||= setTimeout(async () => {
    soon = 0;
    await listRuns();
    await draw();
  }, 300);
}

/** Says below a saved report what it lacks, and who shows it. */
function tellWhatLacks() {
  const named = document.getElementById("place"), place = named?.textContent;
  named?.setAttribute("title", place ?? "");
  main.after(element("footer", { id: "missing", class: "note" },
    `A saved report of ${place}. It lacks single records of clients and what models say about them, has some rows of the tables, and says in its place what else it does not hold. `,
    "python -m fedlayers.report with the run's folder writes all that a report can hold, python -m fedlayers.explore shows everything."));
}

async function begin() {
  // A link to a view is sent to others: it must not hold the token that --token made up, for which there is a cookie now.
  if (location.search.includes("token=")) history.replaceState(null, "", `${location.pathname}${location.hash}`);
  showTheme();
  drawTabs();
  showService(live.service);
  if (kept) tellWhatLacks();
  live.onService((state) => {
    showService(state);
    // What failed while the service was gone is asked again.
    if (state === "live") drawSoon();
  });
  live.onChange(drawSoon);
  // Which view it is was known before; its module comes with the list of runs.
  VIEWS.find((view) => view.name === globalThis.shownFirst)?.load().catch(() => {});
  await listRuns();
  address.on(draw);
  await draw();
  forgetEarly();
  live.listen(runs);
  loadOthers();
}

begin();
