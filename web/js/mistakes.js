/**
 * What the address asks for that is not there, such as client 77 of 8, in a sentence each that says what is.
 *
 * A link may be old, of another run, or typed by hand: views draw what is left of it.
 */
import { clientNames } from "fedlayers/selection.js";

/** What views call the model as a whole. */
const NO_LAYER = new Set(["whole model", "All"]);
const MOST_LISTED = 12;
/** What an address can say: of all views, and of each one under its own name. */
const NAMES = {
  "": ["view", "run", "runs", "round", "client", "other", "metric", "layer", "class", "records", "table"],
  study: ["best", "evaluation", "filter", "metric", "rows", "setting", "sort"], rounds: ["clients", "resource"], layers: ["face", "series"],
  clients: ["order", "setting"], table: ["offset"],
  heterogeneity: ["alpha", "channel", "example", "feature", "grid", "inputs", "linkage", "log", "map", "number", "scope", "space"],
  training: ["attention", "attention.of", "class", "flow", "flow.of", "resource", "series", "tiers"],
};
/** The least value of those that are whole numbers; of the others it is 0, and they are any. */
const LEAST = { "study.rows": 1, "table.offset": 0, "heterogeneity.channel": 0, "heterogeneity.example": 0, "heterogeneity.feature": 0, "heterogeneity.number": 1 };
const ANY = ["heterogeneity.alpha"];

/**
 * @param {any} selection @param {?{facts: any}} run
 * @returns {{sentences: string[], left: any}} the selection that is left has none of what is not there.
 */
export function mistakesOf(selection, run) {
  const left = { ...selection };
  /** @type {string[]} */
  const sentences = [];
  const facts = run?.facts ?? {};
  const refuse = (key, there) => {
    sentences.push(`There is no ${key === "other" ? "client" : key} ${selection[key]}: ${there}.${key === "round" ? ` Shown is round ${facts.round}.` : " It is passed over."}`);
    delete left[key];
  };
  for (const [key, text] of Object.entries(selection)) {
    const told = isKnown(key) ? noNumber(key, String(text)) : `${key} in the address is nothing that can be selected: it is passed over.`;
    if (told) sentences.push(told);
    if (told) delete left[key];
  }
  const clients = run ? clientNames(facts).length : 0;
  for (const key of ["client", "other"]) {
    if (clients && selection[key] >= clients) refuse(key, `the run has ${clients > 1 ? `clients 0 to ${clients - 1}` : "client 0 only"}`);
  }
  if (facts.round > 0 && selection.round > facts.round) refuse("round", `the run has rounds 0 to ${facts.round}`);
  const layers = (facts.layers ?? []).map(({ name }) => name);
  if (layers.length && selection.layer && !layers.includes(selection.layer) && !NO_LAYER.has(selection.layer)) {
    refuse("layer", `the run has ${listed(layers)}`);
  }
  const metrics = (run?.quantities ?? []).map(({ name }) => name);
  // The table has those of resources, too, and of a wrong one the service says which is meant.
  if (metrics.length && selection.metric && !metrics.includes(selection.metric) && selection.view !== "table") {
    refuse("metric", `the run has ${listed(metrics)}`);
  }
  const classes = (facts.classes ?? []).map(String);
  if (classes.length && selection.class && !classes.includes(selection.class)) refuse("class", `the run has ${listed(classes)}`);
  return { sentences, left };
}

function isKnown(key) {
  const [, view, name] = /^(?:([^.]*)\.)?(.*)$/s.exec(key);
  return Object.hasOwn(NAMES, view ?? "") && NAMES[view ?? ""].includes(name);
}

/** Says that a number in the address is none, or nothing. */
function noNumber(key, text) {
  const least = LEAST[key] ?? (ANY.includes(key) ? 0 : null);
  if (least === null || (text.trim() !== "" && Number(text) >= least && (ANY.includes(key) || /^\d{1,15}$/.test(text)))) return "";
  return `${key} must be a ${ANY.includes(key) ? "" : "whole "}number from ${least} on, the address has ${text}: it is passed over.`;
}

/**
 * Says that there is none of what a part of the address names, and what is shown in its place.
 * @param {string} key @param {string} value @param {string[]} names those that there are @param {string} [instead]
 */
export function noSuch(key, value, names, instead) {
  const what = key.replace(/^[^.]*\./, "").replaceAll(".", " ");
  return `There is no ${what} ${value}${names.length ? `: there ${names.length > 1 ? "are" : "is"} ${listed(names)}` : ""}. ${instead === undefined ? "It is passed over." : `Shown is ${instead}.`}`;
}

/** Says which of the picked runs there are none of, or nothing. @param {string[]|undefined} picked @param {any[]} runs */
export function noPicked(picked, runs) {
  const lost = (picked ?? []).filter((run) => !runs.some((line) => line.run === run));
  return lost.length ? [`Of the picked runs there ${lost.length > 1 ? "are" : "is"} no ${listed(lost)}: passed over.`] : [];
}

/**
 * Returns the selection without a run that is not there, and a sentence that says so, or nothing.
 * @param {any} selection @param {any[]} runs
 * @returns {{said: string[], left: any}}
 */
export function withoutLostRun(selection, runs) {
  const names = runs.map((line) => line.run);
  if (selection.run === undefined || !names.length || names.includes(selection.run)) return { said: [], left: selection };
  const { run, ...left } = selection;
  return { said: [`There is no run ${run}: ${names.length > 1 ? `there are ${listed(names)}` : `the only one is ${names[0]}`}. It is passed over.`], left };
}

/**
 * Says which view there is none of, or nothing.
 * @param {string|undefined} name @param {import("fedlayers/page.js").View[]} views
 * @param {string} instead title of the view that is shown
 */
export function noView(name, views, instead) {
  if (name === undefined || views.some((view) => view.name === name)) return [];
  return [`There is no view ${name}: there are ${views.map((view) => view.name).join(", ")}. Shown is ${instead}.`];
}

/** @param {[string, string][]} pairs what the address says of numbers that is none */
export function noNumbers(pairs) {
  return pairs.map(([name, text]) => `${name === "other" ? "client" : name} must be a whole number from 0 on, the address has ${text}: it is passed over.`);
}

/** @param {string[]} names */
function listed(names) {
  if (names.length > 2 && names.every((name, at) => name === String(at))) return `0 to ${names.length - 1}`;
  return names.slice(0, MOST_LISTED).join(", ") + (names.length > MOST_LISTED ? ` and ${names.length - MOST_LISTED} more` : "");
}
