/**
 * Rows of a run's tables in a saved report: chosen and counted here, as the service does it, of those that were kept.
 *
 * @typedef {{columns: Record<string, any>, facts: {total: number, rounds: ?number[], folder: string}, length: number}} Saved
 */

/** The tables of which a report holds rows. */
export const SAVED_TABLES = ["records", "pairs", "resources"];

/**
 * Returns what `ask` would of a service: some rows with how many there are of them, and the line of Python that gives them.
 * @param {Saved} saved @param {string} table
 * @param {Record<string, any>} params columns with the values that rows have, `offset` and `limit`
 */
export function savedRows({ columns, facts, length }, table, { offset, limit, ...chosen }) {
  const keys = Object.keys(chosen).filter((key) => columns[key]);
  const found = Array.from({ length }, (_, row) => row).filter((row) => keys.every((key) => columns[key][row] === chosen[key]));
  const rows = found.slice(offset, offset + limit);
  const shown = Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, rows.map((row) => column[row])]));
  const wanted = keys.includes("round") || !facts.rounds ? chosen : { ...chosen, round: facts.rounds };
  const words = Object.entries(wanted).map(([name, value]) => `${name}=${said(value)}`);
  const python = `fedlayers.read(${[said(facts.folder), ...words].join(", ")}).${table}[${offset || ""}:${offset + limit}]`;
  return { rows: { columns: shown, length: rows.length, total: found.length, facts }, python };
}

/** Says of which rounds all rows are there, and of how many there are. @param {Saved} saved */
export function whichRows({ facts: { total, rounds }, length }) {
  const all = total.toLocaleString("en");
  if (!rounds) return `The report holds all ${all} rows of this table. `;
  const which = rounds.length > 1 ? `rounds ${rounds[0]} to ${rounds.at(-1)}` : `round ${rounds[0]}`;
  return `The report holds the rows of ${which}, ${length.toLocaleString("en")} of ${all}: python -m fedlayers.explore shows all. `;
}

/** A value as Python writes it. @param {any} value @returns {string} */
function said(value) {
  if (Array.isArray(value)) return value.length === 1 ? said(value[0]) : `[${value.map(said).join(", ")}]`;
  if (typeof value !== "string") return String(value);
  return /['\\\x00-\x1f]/.test(value) ? JSON.stringify(value) : `'${value}'`;
}
