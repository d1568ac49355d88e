/** Heterogeneity in a saved report: what the run measured itself. All that asks models or records needs the service. */
import { drawn, mark } from "fedlayers/chart.js";
import { pathOf } from "fedlayers/data.js";
import { element, short } from "fedlayers/html.js";
import { lines } from "fedlayers/marks/lines.js";
import { KINDS, MEANING } from "fedlayers/views/heterogeneity/kinds.js";

const WITH_SERVICE = "The way of the parameters, single records with what both models say, contrastive components, maps, values and annotations "
  + "need the run's models and data: python -m fedlayers.explore with the run's folder shows them.";

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, { ask, run, select, isCurrent }) {
  const { facts } = run, asked = (name) => ask(pathOf("runs", facts.run, "charts", "differing", name)).catch(() => null);
  const [verdicts, disagreements, clusters] = await Promise.all(["verdicts", "disagreements", "clusters"].map(asked));
  if (!isCurrent()) return;
  const parts = built(place);
  const isMeasured = Boolean(verdicts || disagreements);
  parts.why.textContent = isMeasured ? WITH_SERVICE : `This run did not measure how clients differ, metrics=[heterogeneity] does. ${WITH_SERVICE}`;
  drawClients(parts.clients, { verdicts, disagreements, clusters }, selection, select);
  parts.rounds.hidden = !disagreements;
  if (disagreements) await drawRounds(parts.rounds, disagreements, selection, select);
}

function built(place) {
  if (place.parts) return place.parts;
  const why = element("p", { class: "note why" }), clients = element("div", { class: "saved-clients" }), rounds = element("div", { class: "saved-rounds" });
  place.append(why, clients, rounds);
  return (place.parts = { why, clients, rounds });
}

/** A row for each client: its tests, how far its own and the common model disagree, clusters of those records, the verdict. */
function drawClients(place, { verdicts, disagreements, clusters }, selection, select) {
  const names = new Map([verdicts, disagreements].filter(Boolean).flatMap(({ columns }) => Array.from(columns.client, (client, at) => [client, columns.client_name[at]])));
  const last = disagreements ? Math.max(...disagreements.columns.round) : null;
  const heads = ["client", ...KINDS.map((kind) => `${kind} shift`), "disagreement", "clusters of where they disagree", "in words"];
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.client : undefined;
  place.replaceChildren(...(names.size ? [
    element("h2", {}, "What is different about each client"),
    element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "tests of each client" }, element("table", { class: "verdicts" },
      element("caption", {}, `As the run measured it, the last time after round ${verdicts?.facts.round ?? last}`),
      element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col", title: MEANING[head.split(" ")[0]] ?? null }, head)))),
      element("tbody", {}, [...names].sort(([one], [other]) => one - other).map(([client, name]) => {
        const isChosen = client === selection.client, own = rowsOf(verdicts, client), apart = rowsOf(disagreements, client).find((row) => row.round === last);
        const button = element("button", {
          type: "button", "data-client": client, "aria-pressed": String(isChosen), onclick: () => select({ client: isChosen ? null : client }),
        }, name);
        return element("tr", { class: isChosen ? "chosen" : "" }, element("th", { scope: "row" }, button), KINDS.map((kind) => test(own.find((row) => row.kind === kind))),
          element("td", {}, apart ? beside(apart) : "–"), element("td", {}, rowsOf(clusters, client).map(size).join(", ") || "–"), element("td", {}, own[0]?.sentence ?? ""));
      })))),
    ...(verdicts?.facts.groups ?? []).map((sentence) => element("p", {}, sentence)),
  ] : []));
  place.charted = verdicts ?? disagreements ?? undefined;
  place.querySelector(`[data-client="${focused}"]`)?.focus();
}

function rowsOf(table, client) {
  if (!table) return [];
  const rows = Array.from({ length: table.length }, (_, at) => Object.fromEntries(Object.entries(table.columns).map(([name, column]) => [name, column[at]])));
  return rows.filter((row) => row.client === client);
}

function test(row) {
  if (!row) return element("td", {}, "–");
  if (!Number.isFinite(row.effect)) return element("td", { class: "unknown", title: row.reason }, "cannot be said");
  return element("td", { class: row.named ? "found" : "" }, `${row.named ? "yes: " : ""}${short(row.effect, 2)} (p = ${short(row.p, 2)})`);
}

const percent = (share) => (Number.isFinite(share) ? `${Math.round(100 * share)} %` : "no value");
const size = (row) => `${row.size} records (${percent(row.accuracy)} right)`;
const beside = (row) => `${percent(row.value)}${Number.isFinite(row.chance) ? `, two seeds ${percent(row.chance)}` : ""}`;

/** Disagreement over the rounds: the mean, clients one by one, and of the selected one what two seeds disagree on. */
function drawRounds(place, table, selection, select) {
  const { columns, facts, length } = table, rounds = [...new Set(columns.round)].sort((one, other) => one - other);
  const of = (rows, name = "value") => ({ x: rows.map((row) => columns.round[row]), y: rows.map((row) => columns[name][row]), rows });
  const all = Array.from({ length }, (_, row) => row), clients = [...new Set(columns.client)];
  const mean = rounds.map((round) => {
    const found = all.filter((row) => columns.round[row] === round && Number.isFinite(columns.value[row]));
    return found.reduce((sum, row) => sum + columns.value[row], 0) / found.length;
  });
  const drawnLines = [{ name: "mean over clients", x: rounds, y: mean }];
  for (const client of clients) {
    const rows = all.filter((row) => columns.client[row] === client), name = `client ${columns.client_name[rows[0]]}`;
    if (client !== selection.client) drawnLines.push({ ...of(rows), name, faint: true, colour: "#0072B2" });
    else drawnLines.push({ ...of(rows), name, style: "dashed", colour: "#D55E00" }, { ...of(rows, "chance"), name: `${name}, two seeds alone`, style: "dotted", colour: "#D55E00" });
  }
  const marker = { at: selection.round ?? rounds.at(-1), places: rounds, label: "round", onMove: (round) => select({ round }) };
  return drawn(place, Promise.resolve(table), () => ({
    title: `${facts.label} of each client's own and the common model over the rounds`,
    label: `${clients.length} clients, ${rounds.length} rounds`,
    option: (how) => lines(drawnLines, { along: "round", label: facts.label, scale: { kind: "linear", ends: [0, 1] }, how }),
    table, marker,
    notes: ["thin lines: clients one by one", selection.client === undefined ? "select a client to see what two models that differ in their seed alone disagree on" : ""],
    onSelect: ({ row }) => row !== undefined && select({ client: columns.client[row] }),
  })).then(() => mark(place, marker));
}
