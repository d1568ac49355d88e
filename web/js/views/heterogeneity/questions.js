/**
 * What this view asks the service: a question is asked once for all charts that need it, tells how far it is, and can be
 * stopped. What no chart needs any more is stopped, so that slow work for a client nobody looks at holds up nothing.
 *
 * @typedef {Object} Question
 * @property {string} key
 * @property {Promise<import("fedlayers/data.js").Answer>} answer
 * @property {() => ?{share: ?number, message: string, state: string}} job where its slow work stands, if there is any.
 * @property {(listener: () => void) => void} watch calls back when that changes.
 * @property {() => void} stop
 * @property {() => Question} again asks anew.
 */
import { ask, keyOf, pathOf } from "fedlayers/data.js";

/** @type {Map<string, Question & {wanted: number}>} what is not answered yet */
const open = new Map();
let turn = 0;

/** Somebody stopped it. */
export class Stopped extends Error {
  constructor() {
    super("stopped");
    this.name = "Stopped";
  }
}

/**
 * Returns a question.
 * @param {string} path @param {Record<string, any>} [params] @param {any} [body] posted as JSON
 * @returns {Question}
 */
export function question(path, params = {}, body = undefined) {
  const key = keyOf(path, params, body);
  const known = open.get(key);
  if (known) {
    known.wanted = turn;
    return known;
  }
  const controller = new AbortController();
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @type {any} */
  let job = null;
  const onProgress = (state) => {
    job = state;
    for (const listener of listeners) listener();
  };
  const stop = () => {
    controller.abort();
    open.delete(key);
    if (job) ask(pathOf("jobs", job.job), {}, { method: "DELETE" }).catch(() => undefined);
  };
  const answer = ask(path, params, { body, onProgress, signal: controller.signal })
    .catch((error) => Promise.reject(controller.signal.aborted ? new Stopped() : error))
    .finally(() => open.get(key)?.answer === answer && open.delete(key));
  const made = {
    key, answer, job: () => job, watch: (listener) => listeners.add(listener), stop, again: () => question(path, params, body), wanted: turn,
  };
  open.set(key, made);
  answer.catch(() => undefined);
  return made;
}

/**
 * Returns what follows from the answers to several questions as a question itself.
 * @param {Question[]} questions @param {(...answers: any[]) => any} conclude
 * @returns {Question}
 */
export function together(questions, conclude) {
  const answer = Promise.all(questions.map((one) => one.answer)).then((answers) => conclude(...answers));
  answer.catch(() => undefined);
  return {
    key: questions.map((one) => one.key).join(" "),
    answer,
    job: () => questions.map((one) => one.job()).find(Boolean) ?? null,
    watch: (listener) => questions.forEach((one) => one.watch(listener)),
    stop: () => questions.forEach((one) => one.stop()),
    again: () => together(questions.map((one) => one.again()), conclude),
  };
}

/** Begins a drawing: what is not asked again before `settled` is stopped then. */
export function begin() {
  turn += 1;
}

/** Stops what this drawing did not ask for. */
export function settled() {
  for (const one of [...open.values()]) if (one.wanted !== turn) one.stop();
}
