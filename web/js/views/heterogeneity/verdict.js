/** The verdict in words: what kind of heterogeneity each client has, with the tests behind it; a click leads to a client. */
import { element, short } from "fedlayers/html.js";
import { KINDS, MEANING } from "fedlayers/views/heterogeneity/kinds.js";

/** The metric that says whether the run named a kind of shift, its subject. */
const NAMED = "shift_named";

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawVerdict(panel, known, select) {
  const { client, names } = known.settings;
  return panel.show([known.shifts, known.ownShifts], ({ columns, facts, length }, measured) => {
    const tests = new Map(Array.from({ length }, (_, at) => [`${columns.client[at]} ${columns.kind[at]}`, rowOf(columns, at)]));
    const own = ofRun(measured, facts.round);
    const heads = ["client", ...KINDS.map((kind) => `${kind} shift`), "in words"];
    const lines = Object.keys(facts.sentences).map(Number).sort((one, other) => one - other);
    const table = element("table", { class: "verdicts" },
      element("caption", {}, `What is different about each client, told by the federated model of round ${facts.round}`
        + (known.settings.anyRound ? ", that of the lowest validation loss; choose a round to have it told by another" : "")),
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", title: MEANING[head.split(" ")[0]] }, head)))),
      element("tbody", {}, lines.map((one) => line(one, { tests, own, facts, client, names, select }))));
    const focused = panel.place.contains(document.activeElement) ? document.activeElement.dataset.client : undefined;
    panel.place.replaceChildren(element("p", { class: "note" }, sources(columns, facts, own)), element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "tests of each client" }, table));
    panel.place.charted = { columns, facts };
    panel.place.querySelector(`[data-client="${focused}"]`)?.focus();
  }, { client, names });
}

/** Returns the tests that the run did itself: in the round shown, else in the last one before, else in its last one. */
function ofRun(measured, shown) {
  if (!measured?.length) return null;
  const { columns, length } = measured;
  const before = Array.from(columns.round).filter((round) => round <= shown);
  const round = Math.max(...(before.length ? before : columns.round));
  const rows = Array.from({ length }, (_, at) => rowOf(columns, at)).filter((row) => row.round === round);
  const [named, measures] = [true, false].map((isNamed) => rows.filter(({ metric }) => (metric === NAMED) === isNamed));
  const yes = new Set(named.filter(({ value }) => value === 1).map(({ client, subject }) => `${client} ${subject}`));
  const tests = new Map(measures.map((row) => {
    const key = `${row.client} ${row.metric.replace("_shift", "")}`;
    return [key, { ...row, found: yes.has(key) }];
  }));
  return { round, tests, counts: counted(measures.filter((row) => row.status === "ok").map((row) => row.n)) };
}

/** Says which records the numbers are from, and why the run's own ones differ. */
function sources(columns, facts, own) {
  const counts = counted(Array.from(columns.n).filter((_, at) => columns.kind[at] === "label"));
  const here = `Tested here: all training examples of each client (${counts}, of which feature and concept shift take 500 at most), as the model of round ${facts.round} sees them.`;
  if (!own) return here;
  return `${here} "Run" are the tests of the run itself, of the model of round ${own.round} and ${own.counts} drawn training examples a client `
    + "(metrics.heterogeneity.records): the report and the tables have those, and as they are of other examples, effects and p values differ.";
}

/** @param {number[]} counts */
function counted(counts) {
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (!counts.length) return "no";
  return least === most ? String(least) : `${least} to ${most}`;
}

function rowOf(columns, at) {
  return Object.fromEntries(Object.keys(columns).map((name) => [name, columns[name][at]]));
}

function line(client, { tests, own, facts, client: chosen, names, select }) {
  const isChosen = client === chosen;
  const button = element("button", {
    type: "button", "data-client": client, "aria-pressed": String(isChosen), onclick: () => select({ client: isChosen ? null : client, records: null }),
  }, names[client] ?? String(client));
  return element("tr", { class: isChosen ? "chosen" : "" },
    element("th", { scope: "row" }, button),
    KINDS.map((kind) => cell(tests.get(`${client} ${kind}`), own?.tests.get(`${client} ${kind}`))),
    element("td", {}, facts.sentences[client]));
}

function cell(test, own) {
  const [name, title, text] = said(test);
  return element("td", { class: name, title }, text, own ? element("div", { class: "of-run" }, ofRunSaid(own)) : null);
}

/** @returns {[string, string|undefined, string]} class, title, words */
function said(test) {
  if (!test) return ["", undefined, "–"];
  if (test.unknown) return ["unknown", test.unknown, "cannot be said"];
  return [test.found ? "found" : "", undefined, `${test.found ? "yes: " : ""}${short(test.effect, 2)} (p = ${short(test.adjusted, 2)})`];
}

function ofRunSaid({ status, value, p, found }) {
  return status === "ok" ? `run: ${found ? "yes: " : ""}${short(value, 2)} (p = ${short(p, 2)})` : "run: cannot be said";
}
