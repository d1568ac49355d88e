/**
 * What a saved report holds: the answers to the questions that its views ask, by `keyOf` of `fedlayers/data.js`.
 *
 * They stand as JSON in an element `frozen-answers`: of each key `{json: value}`, or `{columns, facts, length}` with
 * columns as `fedlayers/charts/packed.py` packs them. A page from the service has no such element, but `first-answers`,
 * with those to what its first view asks, among them refusals: `{refused: status, detail: sentence}`.
 */

const heldIn = (id) => {
  const element = document.getElementById(id);
  return element && JSON.parse(element.textContent || "{}");
};

/** @type {?Record<string, any>} */
export const kept = heldIn("frozen-answers");
/** @type {Record<string, any>} */
export const heldFirst = heldIn("first-answers") ?? {};
/** @type {Map<string, [number, string][]>} question without its round -> rounds that were kept, with their keys */
const rounds = new Map();
for (const [key, answer] of Object.entries(kept ?? {})) {
  const round = answer.facts?.round;
  if (typeof round !== "number") continue;
  const question = withoutRound(key)[0];
  rounds.set(question, [...(rounds.get(question) ?? []), [round, key]]);
}

/**
 * Returns what a report holds under a key: an answer with columns, or a value; undefined if it is not there. Of a round
 * that was not kept it is the last one before, as the service answers of a round in which nothing was measured.
 * @param {string} key
 */
export function decoded(key) {
  const found = kept?.[key] ?? kept?.[nearest(key)];
  return found && opened(found);
}

/** Returns what stands under a key: an answer with columns, or a value. @param {any} found */
export function opened(found) {
  if ("json" in found) return found.json;
  const columns = Object.entries(found.columns).map(([name, column]) => [name, unpacked(column, found.length)]);
  return { columns: Object.fromEntries(columns), facts: found.facts, length: found.length };
}

/** @param {string} key @returns {string} */
function nearest(key) {
  const [question, round] = withoutRound(key);
  const known = (rounds.get(question) ?? []).sort((a, b) => a[0] - b[0]);
  const before = known.filter(([at]) => round === null || at <= round);
  return (before.at(-1) ?? known[0])?.[1] ?? "";
}

/** @param {string} key @returns {[string, ?number]} */
function withoutRound(key) {
  const [path, words = ""] = key.split(/\?(.*)/s);
  const parts = words.split("&"), at = parts.findIndex((word) => /^round=\d+$/.test(word));
  const round = at < 0 ? null : Number(parts.splice(at, 1)[0].slice(6));
  return [`${path}?${parts.join("&")}`, round];
}

function unpacked(column, length) {
  if ("all" in column) return typeof column.all === "string" ? Array(length).fill(column.all) : new Float64Array(length).fill(column.all ?? NaN);
  if ("f4" in column) return new Float32Array(bytesOf(column.f4));
  if ("f8" in column) return new Float64Array(bytesOf(column.f8));
  if ("bits" in column) return Array.from(new Uint8Array(bytesOf(column.bits)), Boolean);
  return Array.from(new Uint32Array(bytesOf(column.codes)), (code) => column.words[code]);
}

const bytesOf = (text) => (Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))).buffer;
