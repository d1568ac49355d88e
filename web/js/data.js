/**
 * Asks the service, or in a saved report what was kept in it.
 *
 * @typedef {Object} Answer what a chart shows
 * @property {Record<string, ArrayLike<any>>} columns by name, all of one length: numbers (absent: NaN), or texts (null).
 * @property {any} facts what is said of them.
 * @property {number} length
 */
import { decoded, heldFirst, kept, opened } from "fedlayers/frozen.js";
import { columnsOf } from "fedlayers/columns.js";

const MOST_KEPT = 300;
const AGAIN_MS = 300;
/** A refusal holds for so long: until the run goes on, or what is damaged is mended. */
const REFUSED_MS = 10_000;
/** @type {Map<string, Promise<any>>} key -> answer, the one asked longest ago first. */
const answers = new Map();

/** What `web/first.js` asked before this module was there: address -> its answer. @type {Map<string, Promise<Response>>} */
const early = globalThis.askedEarly ?? new Map();

/** What the page held from the beginning: key -> answer. */
const first = new Map(Object.entries(heldFirst));

/** The service said no: its own words. */
export class Refusal extends Error {
  /** @param {string} words @param {number} status */
  constructor(words, status) {
    super(words);
    this.name = "Refusal";
    this.status = status;
  }
}

/** The service does not answer at all. */
export class Gone extends Error {
  constructor() {
    super("the service does not answer: it has ended, or the way to it is cut; the page asks again when it is back");
    this.name = "Gone";
  }
}

function gone() {
  dispatchEvent(new CustomEvent("service-gone"));
  return new Gone();
}

/**
 * Returns what is answered: of Arrow an `Answer`, of JSON what it says. Asked again only when the run has gone on.
 * @param {string} path below `api/`, each part encoded: see `pathOf`.
 * @param {Record<string, any>} [params] names and values, lists for several; null and undefined are left out.
 * @param {{body?: any, method?: string, onProgress?: (job: {share: ?number, message: string}) => void,
 *   signal?: AbortSignal}} [how] `body` is posted as JSON.
 * @returns {Promise<any>}
 */
export function ask(path, params = {}, how = {}) {
  const key = keyOf(path, params, how.body);
  if (how.method && how.method !== "GET" && how.method !== "POST") return asked(path, params, how);
  const known = answers.get(key);
  if (known) {
    answers.delete(key);
    answers.set(key, known);
    return known;
  }
  const answer = kept ? frozen(key) : first.has(key) ? told(key) : asked(path, params, how);
  answers.set(key, answer);
  // What failed is asked anew the next time; what a run lacks is not asked for with each step of a round that is dragged.
  const forgotten = () => answers.get(key) === answer && answers.delete(key);
  answer.catch((error) => (isLack(error, path) ? setTimeout(forgotten, REFUSED_MS) : forgotten()));
  if (answers.size > MOST_KEPT) answers.delete(answers.keys().next().value);
  return answer;
}

/** Says whether a chart was refused since the run does not hold what it shows. @param {Error} error @param {string} path */
function isLack(error, path) {
  return error instanceof Refusal && error.status === 409 && /(^|\/)charts\//.test(path);
}

/** Returns a path of its parts, encoded: `pathOf("runs", run, "charts", "learning")`. @param {...(string|number)} parts */
export function pathOf(...parts) {
  return parts.map((part) => encodeURIComponent(part)).join("/");
}

/**
 * Forgets what was answered about a run, or about all.
 * @param {string} [run]
 */
export function forget(run) {
  forgetEarly();
  for (const key of [...answers.keys()]) if (run === undefined || isAbout(key, run)) answers.delete(key);
}

/** Says whether an answer may change with a run: not one about another, or about some others. */
function isAbout(key, run) {
  const [path, words] = key.split("?", 2);
  if (path.startsWith("runs/")) return path.split("/")[1] === encodeURIComponent(run);
  const named = words.split("&").filter((word) => word.startsWith("run="));
  return !named.length || named.includes(`run=${run}`);
}

/** Forgets what was told or asked before the modules were there, and not asked since: the run may have gone on. */
export function forgetEarly() {
  early.clear();
  first.clear();
}

/**
 * Forgets one answer, such as a list that this page has changed.
 * @param {string} path @param {Record<string, any>} [params] @param {any} [body]
 */
export function forgetAnswer(path, params = {}, body = undefined) {
  answers.delete(keyOf(path, params, body));
}

/**
 * Returns the name of a question, alike in Python (`fedlayers.charts.questions.key_of`): the path and the parameters,
 * sorted by name, not encoded.
 * @param {string} path @param {Record<string, any>} params @param {any} [body]
 */
export function keyOf(path, params, body) {
  const words = pairs(params).map(([name, value]) => `${name}=${value}`);
  return `${path}?${words.join("&")}${body === undefined ? "" : ` ${JSON.stringify(body)}`}`;
}

/** @param {Record<string, any>} params @returns {[string, string][]} */
function pairs(params) {
  const names = Object.keys(params).filter((name) => params[name] !== null && params[name] !== undefined).sort();
  return names.flatMap((name) => [params[name]].flat().map((value) => /** @type {[string, string]} */ ([name, String(value)])));
}

/** @param {string} key */
async function frozen(key) {
  const found = decoded(key);
  if (found === undefined) {
    throw new Refusal("this is not part of the saved report: python -m fedlayers.report writes all that one can hold, python -m fedlayers.explore shows everything", 404);
  }
  return found;
}

/** @param {string} key */
async function told(key) {
  const found = first.get(key);
  first.delete(key);
  if ("refused" in found) throw new Refusal(found.detail, found.refused);
  return opened(found);
}

/** @param {string} path @param {Record<string, any>} params @param {any} how */
async function asked(path, params, { body, method, onProgress, signal }) {
  const words = new URLSearchParams(pairs(params)).toString();
  // A refusal is said where it belongs: with a status of its own the browser would note an error of the page.
  const headers = { "X-Refusals": "told", ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  for (;;) {
    /** @type {Response} */
    let answer;
    try {
      const address = `api/${path}${words && `?${words}`}`, known = body === undefined && !method ? early.get(address) : undefined;
      early.delete(address);
      answer = await (known ?? fetch(address, {
        method: method ?? (body === undefined ? "GET" : "POST"), signal, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }));
    } catch (error) {
      if (signal?.aborted) throw error;
      throw gone();
    }
    if (answer.status === 202) {
      onProgress?.(await answer.json());
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    } else if (answer.ok && !answer.headers.has("X-Refused")) return contents(answer);
    else throw await refusal(answer);
  }
}

/** @param {Response} answer */
async function contents(answer) {
  if (answer.status === 204) return null;
  const kind = answer.headers.get("Content-Type") ?? "";
  if (kind.startsWith("application/json")) return answer.json();
  const total = answer.headers.get("X-Total-Rows");
  const [bytes] = await Promise.all([answer.arrayBuffer(), globalThis.tablesThere?.()]).catch(() => { throw gone(); });
  const found = columnsOf(new Uint8Array(bytes));
  return total === null ? found : { ...found, total: Number(total) };
}

/** @param {Response} answer */
async function refusal(answer) {
  let words = `the service failed (status ${answer.status}): what it printed says why`;
  try {
    words = (await answer.json()).detail ?? words;
  } catch {
    // Not JSON: a proxy on the way, or a failure.
  }
  return new Refusal(words, Number(answer.headers.get("X-Refused") ?? answer.status));
}
