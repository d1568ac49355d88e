/**
 * Which of a client's records are selected, as the address says it: in few letters, so that a view can be sent as a link.
 *
 * `inconsistent`, `cluster:2`, `cell:3:7` (federated class and truth), `range:401:0.2:0.9` (values of a feature),
 * `notes:union:id,id` or `notes:intersection:id,id` (records of annotations), `list:3,7,12`, or, where that is longer,
 * `bits:…` with six records a letter.
 */

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const MODES = new Set(["union", "intersection"]);

/**
 * @typedef {{kind: "none"} | {kind: "inconsistent"} | {kind: "cluster", cluster: number} |
 *   {kind: "cell", federated: number, truth: number} | {kind: "range", feature: number, low: number, high: number} |
 *   {kind: "notes", mode: string, ids: string[]} | {kind: "list", rows: number[]}} Chosen
 */

/**
 * Returns what a text in the address selects; what is malformed selects nothing.
 * @param {unknown} text @returns {Chosen}
 */
export function chosen(text) {
  const [kind, ...parts] = String(text ?? "").split(":");
  const numbers = parts.map((part) => (part.trim() ? Number(part) : NaN));
  const whole = numbers.every((number) => Number.isInteger(number) && number >= 0);
  if (kind === "inconsistent" && !parts.length) return { kind };
  if (kind === "cluster" && parts.length === 1 && whole) return { kind, cluster: numbers[0] };
  if (kind === "cell" && parts.length === 2 && whole) return { kind, federated: numbers[0], truth: numbers[1] };
  if (kind === "range" && parts.length === 3 && numbers.every(Number.isFinite)) {
    return { kind, feature: numbers[0], low: numbers[1], high: numbers[2] };
  }
  if (kind === "notes" && parts.length === 2 && MODES.has(parts[0])) {
    return { kind, mode: parts[0], ids: parts[1].split(",").filter(Boolean) };
  }
  if (kind === "list" && parts.length === 1) {
    return { kind, rows: parts[0].split(",").filter(Boolean).map(Number).filter(Number.isInteger) };
  }
  if (kind === "bits" && parts.length === 1) return { kind: "list", rows: unpacked(parts[0]) };
  return { kind: "none" };
}

/** Returns the text for some records. @param {Iterable<number>} rows @returns {?string} null for none */
export function listed(rows) {
  const sorted = [...new Set(rows)].sort((one, other) => one - other);
  if (!sorted.length) return null;
  const [plain, bits] = [`list:${sorted.join(",")}`, `bits:${packed(sorted)}`];
  return plain.length <= bits.length ? plain : bits;
}

/** @param {number[]} rows ascending */
function packed(rows) {
  const codes = new Uint8Array(Math.floor(rows[rows.length - 1] / 6) + 1);
  for (const row of rows) codes[Math.floor(row / 6)] |= 1 << row % 6;
  return Array.from(codes, (code) => LETTERS[code]).join("");
}

/** @param {string} text */
function unpacked(text) {
  const rows = [];
  for (let at = 0; at < text.length; at += 1) {
    const code = LETTERS.indexOf(text[at]);
    for (let bit = 0; bit < 6; bit += 1) if (code >= 0 && code & (1 << bit)) rows.push(6 * at + bit);
  }
  return rows;
}

/**
 * Returns the numbers of the selected records, ascending.
 * @param {Chosen} what
 * @param {number} count how many records there are
 * @param {{consistent?: ArrayLike<boolean>, federated?: ArrayLike<number>, truth?: ArrayLike<number>,
 *   clusters?: {example: ArrayLike<number>, cluster: ArrayLike<number>}, values?: ArrayLike<number>, notes?: any[]}} known
 * @returns {number[]}
 */
export function rowsOf(what, count, known) {
  if (what.kind === "list") return [...new Set(what.rows)].filter((row) => row < count).sort((one, other) => one - other);
  if (what.kind === "cluster") {
    const { example = [], cluster = [] } = known.clusters ?? {};
    return Array.from(example).filter((_, at) => cluster[at] === what.cluster);
  }
  if (what.kind === "notes") return ofNotes(what, count, known.notes ?? []);
  const test = tests[what.kind]?.(what, known);
  if (!test) return [];
  return Array.from({ length: count }, (_, row) => row).filter(test);
}

/** @type {Record<string, (what: any, known: any) => ?((row: number) => boolean)>} */
const tests = {
  inconsistent: (_, { consistent }) => consistent && ((row) => !consistent[row]),
  cell: (what, { federated, truth }) =>
    federated && truth && ((row) => federated[row] === what.federated && truth[row] === what.truth),
  range: (what, { values }) => values && ((row) => values[row] >= what.low && values[row] <= what.high),
};

// Of an intersection nothing is known where one of the annotations is not there: the others' records would be more than were meant.
function ofNotes({ mode, ids }, count, notes) {
  const sets = notes.filter((note) => ids.includes(note.id)).map((note) => new Set(note.examples));
  if (!sets.length || (mode === "intersection" && lacking(ids, notes))) return [];
  const all = sets.reduce((found, one) => (mode === "union" ? found.union(one) : found.intersection(one)));
  return [...all].filter((row) => row < count).sort((one, other) => one - other);
}

/** Returns how many of some annotations there are not. @param {string[]} ids @param {any[]} notes */
function lacking(ids, notes) {
  return ids.filter((id) => !notes.some((note) => note.id === id)).length;
}

/** Returns the annotations about the records that are looked at. @param {any[]} notes @param {{client: ?number, inputs: string}} about */
export function notesAbout(notes, { client, inputs }) {
  return notes.filter((note) => note.client === client && (note.inputs ?? "local") === inputs);
}

/**
 * Says that some of the annotations whose records are selected are not there, or are about other records.
 * @param {Chosen} what @param {any[]} notes those about the records that are looked at
 */
export function goneNotes(what, notes) {
  const count = what.kind === "notes" ? lacking(what.ids, notes) : 0;
  if (!count) return "";
  return `${count} of ${what.ids.length} annotations ${count > 1 ? "are" : "is"} no longer there, or about other records`;
}

/** Returns what is selected in words. @param {Chosen} what @param {(feature: number) => string} named @param {string[]} classes */
export function words(what, named, classes) {
  const label = (place) => classes[place] ?? String(place);
  switch (what.kind) {
    case "inconsistent": return "all inconsistent records";
    case "cluster": return `cluster ${what.cluster}`;
    case "cell": return `${label(what.truth)} that the federated model calls ${label(what.federated)}`;
    case "range": return `${named(what.feature)} from ${what.low} to ${what.high}`;
    case "notes": return what.ids.length > 1 ? `${what.mode} of ${what.ids.length} annotations` : "records of an annotation";
    case "list": return "records picked one by one or with the brush";
    default: return "nothing";
  }
}
