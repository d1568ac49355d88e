/** The table of runs: sorted, filtered, with a small curve each; runs are picked in it to be compared. */
import * as address from "fedlayers/address.js";
import { duration, element, short } from "fedlayers/html.js";
import { scoresOf } from "fedlayers/views/study/scores.js";
import { sparkline } from "fedlayers/views/study/sparkline.js";

const AT_ONCE = 100;
const FACTS = ["dataset", "partition", "model", "algorithm", "plan", "objective", "seed", "clients"];

/** Draws the table, and again as scores come in. */
export async function drawRuns(place, selection, context) {
  const parts = built(place, context);
  const lines = context.runs.map((line) => ({ ...line, ...pick(line.facts, [...FACTS, "round", "rounds", "wall_s"]) }));
  const same = FACTS.filter((name) => lines.length > 1 && lines.every((line) => line[name] === lines[0][name]));
  const show = (scores) => table(parts, lines.map((line) => ({ ...line, ...scores.get(line.run) })), same, selection, context);
  if (document.activeElement !== parts.filter) parts.filter.value = selection["study.filter"] ?? "";
  await scoresOf(lines.map((line) => line.run), context, (scores, told) => {
    show(scores);
    parts.told.textContent = told;
  });
}

function pick(facts, names) {
  return Object.fromEntries(names.map((name) => [name, facts[name] ?? null]));
}

function built(place, { select }) {
  if (place.parts) return place.parts;
  const filter = element("input", {
    type: "search", placeholder: "fedavg seed=0", "aria-label": "Filter runs: words that all must be in a line, or name=value",
    oninput: (event) => select({ "study.filter": event.target.value || null, "study.rows": null }),
  });
  const told = element("span", { class: "note", role: "status" }), buttons = element("span", { class: "controls" });
  const same = element("p", { class: "note" }), shown = element("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Runs" });
  place.append(element("h2", {}, "Runs"), element("div", { class: "controls" }, element("label", {}, "filter ", filter), buttons, told), same, shown);
  return (place.parts = { filter, told, buttons, same, shown });
}

/** What a line says in a column: `value` is sorted by, `text` is shown. */
function columnsOf(same, metric) {
  const plain = (name, title = name) => ({ name, title, value: (line) => line[name], text: (line) => String(line[name] ?? "–") });
  const number = (name, title) => ({ name, title, isNumber: true, value: (line) => line[name] ?? NaN, text: (line) => short(line[name]) });
  return [
    plain("run"), plain("status"), ...FACTS.filter((name) => !same.includes(name)).map((name) => plain(name)),
    { ...number("round", "rounds"), text: (line) => `${line.round ?? "–"} of ${line.rounds ?? "–"}` },
    number("last", metric ? `last ${metric}` : "last score"), number("worst", "worst client"),
    { name: "curve", title: "curve", text: () => "" },
    { ...number("wall_s", "time"), text: (line) => duration(line.wall_s) },
  ];
}

function table({ shown, buttons, same: sameLine }, lines, same, selection, { select, oneOf }) {
  const metrics = [...new Set(lines.map((line) => line.metric).filter(Boolean))];
  const columns = columnsOf(same, metrics.length === 1 ? metrics[0].replaceAll("_", " ") : "");
  const sort = oneOf("study.sort", columns.filter(({ value }) => value).flatMap(({ name }) => [name, `-${name}`]), "run");
  const found = sorted(filtered(lines, columns, selection["study.filter"] ?? ""), columns, sort);
  const most = Number(selection["study.rows"] ?? AT_ONCE), picked = new Set(selection.runs ?? []);
  const told = same.filter((name) => lines[0][name] !== null);
  sameLine.textContent = told.length ? `alike in all: ${told.map((name) => `${name} ${lines[0][name]}`).join(", ")}` : "";
  const body = found.slice(0, most).map((line) => row(line, columns, picked, selection, select));
  const head = columns.map((column) => heading(column, sort, select));
  const focused = focusIn(shown);
  shown.replaceChildren(element("table", { class: "runs" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "pick"), head)), element("tbody", {}, body)));
  if (focused) shown.querySelector(focused)?.focus();
  const names = found.map((line) => line.run);
  buttons.replaceChildren(
    element("span", { class: "note" }, `${found.length} of ${lines.length} shown${picked.size ? `, ${picked.size} picked` : ""}`),
    button("pick these", () => select({ runs: names }), !names.length || names.length > 300),
    button("pick none", () => select({ runs: null }), !picked.size),
    ...(found.length > most ? [button(`show ${Math.min(AT_ONCE, found.length - most)} more`, () => select({ "study.rows": most + AT_ONCE }))] : []),
  );
}

const button = (text, onclick, disabled = false) => element("button", { type: "button", onclick, disabled }, text);

/** Where the keyboard is, so that it is there again in the table that replaces this one. */
function focusIn(shown) {
  const at = document.activeElement;
  if (!shown.contains(at) || !at.dataset.focus) return "";
  return `[data-focus="${CSS.escape(at.dataset.focus)}"]`;
}

function heading(column, sort, select) {
  if (!column.value) return element("th", { scope: "col" }, column.title);
  const [name, down] = [sort.replace(/^-/, ""), sort.startsWith("-")];
  const isHere = name === column.name;
  const next = isHere ? `${down ? "" : "-"}${name}` : column.isNumber ? `-${column.name}` : column.name;
  return element("th", { scope: "col", "aria-sort": isHere ? (down ? "descending" : "ascending") : "none" },
    element("button", { type: "button", "data-focus": column.name, onclick: () => select({ "study.sort": next }) },
      column.title.replaceAll("_", " "), element("span", { "aria-hidden": "true" }, isHere ? (down ? " ▾" : " ▴") : "")));
}

function row(line, columns, picked, selection, select) {
  const box = element("input", {
    type: "checkbox", checked: picked.has(line.run), "aria-label": `pick ${line.run}`, "data-focus": `pick ${line.run}`,
    onchange: (event) => select({ runs: event.target.checked ? [...picked, line.run] : [...picked].filter((run) => run !== line.run) }),
  });
  return element("tr", { "data-run": line.run, "aria-current": selection.run === line.run }, element("td", {}, box), columns.map((column) => cell(line, column)));
}

function cell(line, column) {
  if (column.name === "run") {
    const href = address.link({ view: "rounds", run: line.run, round: null, client: null, layer: null });
    return element("th", { scope: "row" }, element("a", { href, "data-focus": `open ${line.run}` }, line.run));
  }
  if (column.name === "curve") return element("td", {}, sparkline(line.points));
  if (column.name === "status") {
    return element("td", { class: `is-${line.status}` }, line.status, line.reason ? element("div", { class: "note reason", title: line.reason }, line.reason) : null);
  }
  return element("td", { class: column.isNumber ? "number" : "" }, column.text(line));
}

/** Lines that have every word in one of their columns, or in `name=value` exactly. */
function filtered(lines, columns, words) {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return lines.filter((line) => {
    const pairs = Object.entries(line).filter(([, value]) => ["string", "number"].includes(typeof value)).map(([name, value]) => `${name}=${value}`.toLowerCase());
    return wanted.every((word) => (word.includes("=") ? pairs.includes(word) : pairs.some((pair) => pair.slice(pair.indexOf("=") + 1).includes(word))));
  });
}

function sorted(lines, columns, sort) {
  const column = columns.find((one) => one.value && one.name === sort.replace(/^-/, "")) ?? columns[0];
  const sign = sort.startsWith("-") ? -1 : 1;
  const empty = (value) => value === null || value === undefined || Number.isNaN(value);
  return lines.toSorted((one, other) => {
    const [a, b] = [column.value(one), column.value(other)];
    if (empty(a) || empty(b)) return empty(a) - empty(b) || 0;
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  });
}
