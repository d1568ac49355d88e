/**
 * The one selection of the page: it lives in the address, so that a view can be sent as a link.
 *
 * A selection has `view`, `run`, `runs`, `round`, `client`, `other`, `metric`, `layer`, `class`, `records`, and whatever
 * a view adds under its own name (`layers.scale`). What is not selected is absent.
 * @typedef {Readonly<Record<string, any>>} Selection
 */

const NUMBERS = new Set(["round", "client", "other"]);
const LISTS = new Set(["runs"]);
/** What is moved rather than chosen, or written letter by letter: of all steps in a row one "back" leads to before the first. */
const MOVED = new Set(["round", "heterogeneity.feature", "study.filter", "study.rows"]);

/** @type {Set<(selection: Selection, before: Selection) => void>} */
const listeners = new Set();
/** @type {[string, string][]} */
let malformed = [];
let selection = read();
/** What was moved last, empty after anything else. */
let moving = "";

/** Returns what is selected. @returns {Selection} */
export function get() {
  return selection;
}

/** Returns what the address says of numbers that is no whole number from 0 on: name and text. */
export function notNumbers() {
  return malformed;
}

/**
 * Selects something else; what the patch does not name stays. The browser's "back" leads to what was selected before.
 * @param {Record<string, any>} patch values, null or undefined for "nothing".
 */
export function set(patch) {
  const merged = { ...selection, ...patch };
  const words = written(merged);
  if (words === written(selection)) return;
  const names = Object.keys(patch).filter((name) => String(merged[name] ?? "") !== String(selection[name] ?? ""));
  const step = names.every((name) => MOVED.has(name)) ? names.sort().join(" ") : "";
  history[step && step === moving ? "replaceState" : "pushState"](null, "", `#${words}`);
  moving = step;
  changed();
}

/**
 * Calls a function whenever something else is selected.
 * @param {(selection: Selection, before: Selection) => void} listener
 * @returns {() => void} what stops it.
 */
export function on(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns the part of an address behind # that selects something. @param {Record<string, any>} patch */
export function link(patch) {
  return `#${written({ ...selection, ...patch })}`;
}

function changed() {
  const [before, wrong] = [selection, String(malformed)];
  selection = read();
  if (written(before) === written(selection) && wrong === String(malformed)) return;
  for (const listener of [...listeners]) listener(selection, before);
}

/** @returns {Selection} */
function read() {
  /** @type {Record<string, any>} */
  const found = {};
  malformed = [];
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    if (LISTS.has(name)) (found[name] ??= []).push(text);
    else if (!NUMBERS.has(name)) found[name] = text;
    else if (/^\d{1,15}$/.test(text)) found[name] = Number(text);
    else malformed.push([name, text]);
  }
  return Object.freeze(found);
}

/** @param {Record<string, any>} values */
function written(values) {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || (Array.isArray(value) && !value.length)) continue;
    for (const one of Array.isArray(value) ? value : [value]) words.append(name, String(one));
  }
  return words.toString();
}

/** By "back", by a link, or by hand. */
function led() {
  moving = "";
  changed();
}

addEventListener("popstate", led);
addEventListener("hashchange", led);
