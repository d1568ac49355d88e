/**
 * What happens now: which runs go on, and whether the service is there.
 *
 * @typedef {Object} RunState what the service tells of a run
 * @property {string} run
 * @property {string} status
 * @property {?number} round
 * @property {?number} rounds
 * @property {?string} reason
 */
import { forget } from "fedlayers/data.js";
import { kept } from "fedlayers/frozen.js";

const SOON_MS = 1000;
const LATEST_MS = 10_000;
/** The service tells every 15 s that it lives. */
const SILENT_MS = 40_000;

/** @type {Map<string, RunState>} */
export const states = new Map();
/** @type {Set<(run: string) => void>} */
const listeners = new Set();
/** @type {Set<(state: string) => void>} */
const watchers = new Set();
/** @type {Map<string, string>} what was last told of each run. */
const told = new Map();
/** @type {?EventSource} */
let source = null;
let wait = SOON_MS;
/** `live`, `gone`, or `saved`: a report has no service. */
export let service = kept ? "saved" : "live";

/** Calls a function with the name of a run that has gone on, begun or gone. @param {(run: string) => void} listener */
export function onChange(listener) {
  listeners.add(listener);
}

/** Calls a function with `live`, `gone` or `saved` whenever that changes. @param {(state: string) => void} watcher */
export function onService(watcher) {
  watchers.add(watcher);
}

/** @type {any[]} what the page knew of runs before it listened. */
let listed = [];

/** Begins to listen. @param {any[]} [lines] what is known of runs */
export function listen(lines = listed) {
  listed = lines;
  if (kept || document.hidden) return;
  source = new EventSource("api/events");
  source.onopen = () => {
    wait = SOON_MS;
    become("live");
  };
  source.addEventListener("run", (event) => heard(JSON.parse(event.data), event.data));
  source.addEventListener("gone", (event) => {
    const { run } = JSON.parse(event.data);
    states.delete(run);
    told.delete(run);
    changed(run);
  });
  source.addEventListener("alive", hear);
  source.onerror = again;
  hear();
}

/**
 * A page that nobody sees does not listen: a browser holds six connections to a service, for all its windows, and the
 * seventh would wait for ever. Who comes back is told of all runs.
 */
function seen() {
  if (kept) return;
  source?.close();
  clearTimeout(silence);
  clearTimeout(later);
  if (!document.hidden) listen();
}

let silence = 0;
let later = 0;
/** Waits for the next sign of life: a service that stands still leaves its connection open. */
function hear() {
  clearTimeout(silence);
  silence = setTimeout(again, SILENT_MS);
}

/** Asks for events anew, later each time: a browser by itself gives up where a proxy answers with an error. */
function again() {
  source?.close();
  clearTimeout(silence);
  become("gone");
  later = setTimeout(() => listen(), wait);
  wait = Math.min(2 * wait, LATEST_MS);
}

/** @param {RunState} state @param {string} text */
function heard(state, text) {
  hear();
  const before = told.get(state.run);
  states.set(state.run, state);
  told.set(state.run, text);
  // Whoever begins to listen is told of all runs: only what differs from what was told before is news.
  const known = listed.find((line) => line.run === state.run);
  const isNews = before === undefined ? known?.status !== state.status || (known.facts.round ?? null) !== (state.round ?? null) : before !== text;
  if (isNews) changed(state.run);
}

/** @param {string} run */
function changed(run) {
  forget(run);
  for (const listener of listeners) listener(run);
}

/** @param {string} state */
function become(state) {
  if (state === service) return;
  service = state;
  for (const watcher of watchers) watcher(state);
}

document.addEventListener("visibilitychange", seen);
addEventListener("service-gone", () => {
  if (service === "live" && source?.readyState !== EventSource.OPEN) become("gone");
});
