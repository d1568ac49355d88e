/** What is selected, as rows of a table of the run, and the line of Python that gives the same. */
import { pathOf } from "fedlayers/data.js";
import { choice, element, filled, short } from "fedlayers/html.js";
import { SAVED_TABLES, savedRows, whichRows } from "fedlayers/saved-rows.js";

const TABLES = ["records", "pairs", "spectra", "resources"];
const ROWS = 100;
/** What rows are chosen by, of the selection. */
const CHOSEN = ["metric", "round", "client", "other", "layer"];

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, { ask, run, select, isCurrent, frozen, oneOf }) {
  const name = run.facts.run, tables = frozen ? SAVED_TABLES : TABLES, table = oneOf("table", tables, "records");
  const parts = built(place), offset = Math.max(0, Number(selection["table.offset"] ?? 0) || 0);
  const saved = frozen ? await ask(pathOf("runs", name, "tables", table, "saved")).catch(() => NOTHING) : null;
  const chosen = Object.fromEntries(CHOSEN.filter((key) => selection[key] !== undefined && (key !== "other" || table === "pairs")).map((key) => [key, selection[key]]));
  const offer = (known) => filled(parts.controls, [table, known, chosen], () => controls(tables, table, known, chosen, select));
  const asked = saved ? { columns: saved.columns } : ask(pathOf("runs", name, "charts", "measured"), { table });
  const known = await Promise.resolve(asked).then(({ columns }) => [...new Set(columns.metric)], (error) => {
    // A table that cannot be read shows nothing; another one can be chosen.
    if (isCurrent()) {
      parts.empty(true);
      offer([]);
    }
    throw error;
  });
  if (!isCurrent()) return;
  offer(known);
  parts.empty(false);
  const params = { ...chosen, offset, limit: ROWS };
  parts.shown.setAttribute("aria-busy", "true");
  const { rows, python } = saved ? savedRows(saved, table, params) : await served(ask, pathOf("runs", name, "tables", table), params);
  if (!isCurrent()) return;
  parts.shown.removeAttribute("aria-busy");
  parts.shown.charted = rows;
  parts.python.textContent = `import fedlayers\n${python}`;
  show(parts, rows, offset, select, saved ? (saved === NOTHING ? `The report holds no rows of ${table}. ` : whichRows(saved)) : "");
}

/** What a report holds of a table of which it holds nothing. */
const NOTHING = { columns: { metric: [] }, length: 0, facts: { total: 0, rounds: null, folder: "" } };

async function served(ask, path, params) {
  const [rows, { python }] = await Promise.all([ask(path, params), ask(`${path}/python`, params)]);
  return { rows, python };
}

function built(place) {
  if (place.parts) return place.parts;
  const controls = element("div", { class: "controls" }), python = element("code", {}), pages = element("div", { class: "controls" });
  const shown = element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Rows" });
  const copy = element("button", { type: "button", onclick: () => navigator.clipboard?.writeText(python.textContent) }, "copy");
  const line = element("div", { class: "python" }, element("pre", {}, python), copy);
  place.append(controls, line, pages, shown);
  const empty = (is) => [line, pages, shown].forEach((part) => part.toggleAttribute("hidden", is));
  return (place.parts = { controls, python, pages, shown, empty });
}

function controls(tables, table, known, chosen, select) {
  const again = (patch) => select({ ...patch, "table.offset": null });
  const metrics = chosen.metric === undefined || known.includes(chosen.metric) ? known : [chosen.metric, ...known];
  return [
    choice("table", tables.map((name) => [name, name]), table, (name) => again({ table: name })),
    choice("metric", [["", "all"], ...metrics.map((name) => [name, name])], chosen.metric ?? "", (metric) => again({ metric: metric || null })),
    ...Object.entries(chosen).filter(([key]) => key !== "metric").map(([key, value]) =>
      element("button", { type: "button", class: "chip", "aria-label": `any ${key}, not only ${value}`, onclick: () => again({ [key]: null }) }, `${key} ${value} ×`)),
    chosen.round === undefined ? element("span", { class: "note" }, "all rounds") : null,
  ].filter(Boolean);
}

function show({ pages, shown }, { columns, length, total }, offset, select, note) {
  const names = Object.keys(columns), there = names.filter((name) => name !== "run" && Array.prototype.some.call(columns[name], (value) => !isAbsent(value)));
  const left = names.filter((name) => name !== "run" && !there.includes(name));
  pages.replaceChildren(
    element("span", {}, length ? `rows ${offset + 1} to ${offset + length} of ${total.toLocaleString("en")}` : "no rows"),
    page("first", 0, offset > 0, select), page("back", Math.max(0, offset - ROWS), offset > 0, select), page("on", offset + ROWS, offset + length < total, select),
    note || (left.length && length) ? element("span", { class: "note" }, note, left.length && length ? `Without a value here: ${left.join(", ")}` : "") : "",
  );
  if (!length) return forgotten(shown);
  const head = element("tr", {}, there.map((name) => element("th", { scope: "col", class: typeof columns[name][0] === "number" ? "number" : "" }, name)));
  const kept = shown.kept, isAlike = kept?.length === length && String(kept.names) === String(there);
  shown.kept = { names: there, length, columns };
  if (isAlike) return changed(shown.firstElementChild, head, kept.columns, columns, there);
  const rows = Array.from({ length }, (_, row) => element("tr", {}, there.map((name) => cell(columns[name][row]))));
  shown.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, rows)));
}

function forgotten(shown) {
  shown.kept = null;
  shown.replaceChildren();
}

/** Of rows with the same columns as before, such as those of another round, only what differs is written anew. */
function changed(table, head, before, columns, names) {
  table.tHead.replaceChildren(head);
  [...table.tBodies[0].rows].forEach((line, row) => {
    const cells = [...line.cells];
    names.forEach((name, at) => rewrite(cells[at], before[name][row], columns[name][row]));
  });
}

function rewrite(place, before, value) {
  if (Object.is(before, value)) return;
  if (!isNumber(before) || !isNumber(value)) return place.replaceWith(cell(value));
  place.firstChild.data = short(value, 6);
  place.title = String(value);
}

const isNumber = (value) => typeof value === "number" && !Number.isNaN(value);

function page(text, offset, isThere, select) {
  return element("button", { type: "button", disabled: !isThere, onclick: () => select({ "table.offset": offset || null }) }, text);
}

const isAbsent = (value) => value === null || Number.isNaN(value);

function cell(value) {
  if (isAbsent(value)) return element("td", {});
  if (typeof value === "number") return element("td", { class: "number", title: String(value) }, short(value, 6));
  if (typeof value === "string") return element("td", {}, value);
  const numbers = Array.from(value, (one) => short(one));
  return element("td", { title: `${numbers.length} numbers` }, numbers.length > 6 ? `${numbers.slice(0, 6).join(", ")} … (${numbers.length})` : numbers.join(", "));
}
