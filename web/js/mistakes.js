/**
 * What the address asks for that is not there, such as client 77 of 8, in a sentence each that says what is.
 *
 * A link may be old, of another run, or typed by hand: views draw what is left of it.
 */
import { clientNames } from "fedlayers/selection.js";

/** What views call the model as a whole. */
const NO_LAYER = new Set(["whole model", "All"]);
const MOST_LISTED = 12;

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
    sentences.push(`There is no ${key === "other" ? "client" : key} ${selection[key]}: ${there}.`);
    delete left[key];
  };
  const clients = run ? clientNames(facts).length : 0;
  for (const key of ["client", "other"]) {
    if (clients && selection[key] >= clients) refuse(key, `the run has ${clients > 1 ? `clients 0 to ${clients - 1}` : "client 0 only"}`);
  }
  if (facts.round > 0 && selection.round > facts.round) refuse("round", `the run has rounds 0 to ${facts.round}`);
  const layers = (facts.layers ?? []).map(({ name }) => name);
  if (layers.length && selection.layer && !layers.includes(selection.layer) && !NO_LAYER.has(selection.layer)) {
    refuse("layer", `the run has ${listed(layers)}`);
  }
  const classes = (facts.classes ?? []).map(String);
  if (classes.length && selection.class && !classes.includes(selection.class)) refuse("class", `the run has ${listed(classes)}`);
  return { sentences, left };
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
  return names.slice(0, MOST_LISTED).join(", ") + (names.length > MOST_LISTED ? ` and ${names.length - MOST_LISTED} more` : "");
}
