/** The lists above every view: which run, round, layer, client and class are looked at. */
import * as address from "fedlayers/address.js";
import { choice, element } from "fedlayers/html.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("selection"));
form.addEventListener("submit", (event) => event.preventDefault());
let drawn = "";

/**
 * Shows what is selected.
 * @param {any} selection
 * @param {?{facts: any}} run
 * @param {any[]} runs
 * @param {import("fedlayers/page.js").View} view
 */
export function drawSelection(selection, run, runs, view) {
  const uses = new Set(view.uses ?? []);
  const facts = run?.facts ?? {};
  const state = JSON.stringify([facts.run, facts.round > 0, [...uses], runs.map((line) => line.run)]);
  if (state !== drawn) {
    drawn = state;
    const parts = run ? [runChoice(facts, runs)] : [];
    if (uses.has("round")) parts.push(roundChoice(facts));
    if (uses.has("layer")) parts.push(list("layer", (facts.layers ?? []).map((layer) => [layer.name, layer.name])));
    if (uses.has("client")) parts.push(list("client", clientNames(facts).map((name, at) => [String(at), name])));
    if (uses.has("class")) parts.push(list("class", (facts.classes ?? []).map((name) => [String(name), String(name)])));
    form.replaceChildren(...parts.filter((part) => part !== null));
  }
  for (const field of form.querySelectorAll("[data-key]")) showValue(field, selection, facts);
}

/** Returns the names of a run's clients, by number. @param {any} facts @returns {string[]} */
export function clientNames(facts) {
  const names = facts.client_names ?? [];
  return Array.from({ length: facts.clients ?? names.length }, (_, at) => String(names[at] ?? at));
}

function showValue(field, selection, facts) {
  const value = selection[field.dataset.key] ?? (field.dataset.key === "round" ? facts.round : "");
  // It grows while a run goes on.
  if (field.type === "range") field.max = facts.round ?? 0;
  field.value = String(value ?? "");
  if (field.type === "range") field.nextElementSibling.textContent = String(value ?? "");
}

function runChoice(facts, runs) {
  if (runs.length < 2) return element("span", { class: "one" }, facts.run ?? "");
  const options = runs.map((line) => [line.run, line.run]);
  // Of another run these are others, if there are any.
  const own = ["round", "layer", "client", "other", "class", "records", "heterogeneity.example", "heterogeneity.feature"];
  return choice("run", options, facts.run, (run) => address.set({ ...Object.fromEntries(own.map((key) => [key, null])), run }));
}

function roundChoice(facts) {
  if (!(facts.round > 0)) return null;
  const output = element("output", {});
  const slider = element("input", {
    type: "range", min: 0, max: facts.round, step: 1, "data-key": "round",
    oninput: (event) => address.set({ round: Number(event.target.value) }),
  });
  return element("label", {}, "round ", slider, output);
}

function list(key, options) {
  if (options.length < 2) return null;
  const label = choice(key, [["", "all"], ...options], "", (value) => {
    address.set({ [key]: value === "" ? null : key === "client" ? Number(value) : value });
  });
  label.querySelector("select")?.setAttribute("data-key", key);
  return label;
}
