/** What happens over the rounds: curves of clients and server, who took part, and what it took. */
import { drawn, mark } from "fedlayers/chart.js";
import { pathOf } from "fedlayers/data.js";
import { choice, element, filled, short } from "fedlayers/html.js";
import { FAINT } from "fedlayers/marks/faint.js";
import { lines } from "fedlayers/marks/lines.js";
import { bars } from "fedlayers/marks/bars.js";
import { clientNames } from "fedlayers/selection.js";

const ALWAYS = ["accuracy", "subset_accuracy", "loss"];
/** More clients than these are drawn one by one only where the reader asks for it, and not all of them. */
const FEW = 30, MANY = 60;

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, context) {
  const parts = built(place);
  context.oneOf("rounds.clients", ["each", "no"], "what fits");
  // Of a damaged table each part says so in its place; what other tables hold is drawn.
  const all = [drawAllCurves(parts, selection, context), drawParticipation(parts.participation, selection, context), drawResources(parts.resources, selection, context)];
  const refused = (await Promise.allSettled(all)).find(({ status }) => status === "rejected");
  if (refused) throw refused.reason;
}

/** Draws the metrics that are shown always, and the one that is selected. */
async function drawAllCurves(parts, selection, context) {
  const { facts } = context.run;
  const measured = (await context.ask(pathOf("runs", facts.run, "charts", "measured"))).columns.metric;
  if (!context.isCurrent()) return;
  const shown = ALWAYS.filter((name) => measured.includes(name));
  const metrics = selection.metric && !shown.includes(selection.metric) ? [...shown, selection.metric] : shown;
  const others = measured.filter((name) => !shown.includes(name));
  filled(parts.controls, [others, selection.metric, shownOneByOne(selection, facts.clients ?? 0), facts.run, !facts.round], () => controls(selection, context, others));
  parts.keep(metrics);
  await Promise.all(metrics.map((metric) => drawCurves(parts.curve(metric), metric, selection, context)));
}

/** What stands in the place, made once. @param {HTMLElement} place */
function built(place) {
  if (place.parts) return place.parts;
  const controls = element("div", { class: "controls" });
  const curves = element("div", { class: "charts" }), others = element("div", { class: "charts" });
  const participation = element("div"), resources = element("div");
  others.append(participation, resources);
  place.append(controls, curves, element("h2", {}, "Clients that took part, and what it took"), others);
  const held = new Map();
  place.parts = {
    controls, participation, resources,
    curve(metric) {
      if (!held.has(metric)) curves.append(held.set(metric, element("div", { "data-metric": metric })).get(metric));
      return held.get(metric);
    },
    keep(metrics) {
      for (const [metric, one] of held) one.toggleAttribute("hidden", !metrics.includes(metric));
    },
  };
  return place.parts;
}

function controls(selection, { run, select }, others) {
  const names = clientNames(run.facts), wanted = shownOneByOne(selection, run.facts.clients ?? 0);
  const box = element("input", { type: "checkbox", checked: wanted, onchange: (event) => select({ "rounds.clients": event.target.checked ? "each" : "no" }) });
  return [
    others.length ? choice("another metric", [["", "none"], ...others.map((name) => [name, name])], selection.metric ?? "", (metric) => select({ metric: metric || null })) : null,
    names.length > 1 ? element("label", {}, box, " clients one by one") : null,
    run.facts.round ? null : element("p", { class: "note" }, "The run has not finished its first round."),
  ].filter(Boolean);
}

/** Whether clients are drawn one by one. @param {number} clients how many there are */
function shownOneByOne(selection, clients) {
  const asked = selection["rounds.clients"];
  return ["each", "no"].includes(asked) ? asked === "each" : clients <= FEW;
}

/** How many clients a chart has values of, where the run does not say how many it has. */
function clientsOf(facts, table) {
  return facts.clients ?? Math.max(0, ...table.facts.lines.filter((line) => line.who === "clients").map((line) => line.count));
}

function drawCurves(place, metric, selection, { ask, run, select, frozen }) {
  const { facts } = run, few = frozen || selection["rounds.clients"] === "each" ? null : FEW;
  const client = !frozen && (facts.clients ?? Infinity) > (few ?? MANY) ? selection.client : null;
  const params = { metric, layer: ALWAYS.includes(metric) ? null : selection.layer, client, few };
  const names = clientNames(facts), asked = ask(pathOf("runs", facts.run, "charts", "curves"), params);
  const look = JSON.stringify([selection.client, selection["rounds.clients"]]);
  return drawnOnce(place, asked, look, (table) => marker(table, selection, facts, select), (table) => {
    const each = shownOneByOne(selection, clientsOf(facts, table)), found = curvesOf(table, selection, each, names);
    const layer = table.facts.layer ? `, layer ${table.facts.layer}` : "";
    return {
      title: `${table.facts.label} over rounds${layer}`,
      label: `${found.filter((line) => !line.faint).map((line) => line.name).join("; ")}. ${table.length} values`,
      option: (how) => lines(found, { along: "round", label: table.facts.label, scale: table.facts.scale, how }),
      table,
      // What the service notes is who is drawn one by one.
      notes: [...new Set(table.facts.lines.map((line) => line.band))].concat(each ? table.facts.notes : []),
      onSelect: ({ row, series }) => {
        if (row === undefined) return;
        const client = table.columns.client[row];
        select({ ...(series === FAINT ? {} : { round: table.columns.round[row] }), ...(Number.isNaN(client) ? {} : { client }) });
      },
    };
  });
}

/** Lines of the means, and of clients: of the last moment all, of every moment the one that is selected. */
function curvesOf({ columns, facts, length }, selection, isEach, names) {
  const rowsOf = new Map();
  for (let row = 0; row < length; row += 1) {
    const client = columns.client[row];
    // Of a hundred clients there are ten thousands of rows that are not drawn.
    if (!isEach && client !== selection.client && !Number.isNaN(client)) continue;
    const key = `${columns.line[row]}\n${client}`;
    if (!rowsOf.has(key)) rowsOf.set(key, []);
    rowsOf.get(key).push(row);
  }
  const several = new Set(facts.lines.map((line) => line.at)).size < facts.lines.filter((line) => line.who === "clients").length;
  const each = facts.lines.filter((line) => line.who === "clients").at(-1);
  const found = facts.lines.map((line) => {
    const rows = rowsOf.get(`${line.name}\nNaN`) ?? [];
    const style = line.who === "server" ? "dotted" : several && line.kind === "personal" ? "dashed" : "solid";
    const name = line.count > 1 ? `mean over ${line.name}` : line.name;
    return { ...part(columns, rows), name, style, kind: line.who === "server" ? "server" : line.at, ...(line.count > 1 ? ends(columns, rows) : {}) };
  });
  const drawnClients = [...rowsOf].filter(([key]) => !key.endsWith("\nNaN")).map(([key, rows]) => ({ line: key.split("\n")[0], client: columns.client[rows[0]], rows }));
  for (const { line, client, rows } of drawnClients) {
    const isSelected = client === selection.client, at = facts.lines.find((one) => one.name === line);
    if (!isSelected && !(line === each?.name && isEach)) continue;
    found.push({ ...part(columns, rows), name: `client ${names[client] ?? client}${isSelected ? `, ${line}` : ""}`, kind: at.at, faint: !isSelected, style: isSelected ? "dashed" : "solid" });
  }
  return found;
}

const part = (columns, rows) => ({ x: rows.map((row) => columns.round[row]), y: rows.map((row) => columns.value[row]), rows });
const ends = (columns, rows) => ({ low: rows.map((row) => columns.low[row]), high: rows.map((row) => columns.high[row]) });

/** Draws a chart; where it shows what it showed before, only its marker moves. */
async function drawnOnce(place, asked, look, markerOf, make) {
  if (place.drawnOf === asked && place.look === look && place.charted) return mark(place, markerOf(place.charted));
  [place.drawnOf, place.look] = [asked, look];
  await drawn(place, asked, (table) => ({ ...make(table), marker: markerOf(table) }));
}

/** @type {WeakMap<object, number[]>} the rounds of each table that is drawn, which has some ten thousand rows. */
const roundsOf = new WeakMap();

function marker(table, selection, facts, select) {
  if (!roundsOf.has(table)) roundsOf.set(table, [...new Set(table.columns.round)].sort((a, b) => a - b));
  const places = roundsOf.get(table);
  return { at: selection.round ?? facts.round ?? places.at(-1), places, label: "round", onMove: (round) => select({ round }) };
}

function drawParticipation(place, selection, { ask, run, select }) {
  const asked = ask(pathOf("runs", run.facts.run, "charts", "participation"));
  return drawnOnce(place, asked, "", (table) => marker(table, selection, run.facts, select), (table) => {
    const { columns, facts } = table;
    const why = (round) => facts.failures.filter((one) => one.round === round).map((one) => `client ${one.name} failed: ${one.reason}`);
    const failed = columns.failed.reduce((sum, count) => sum + count, 0);
    return {
      title: "clients that trained, and that failed", table, notes: facts.notes,
      label: `${facts.clients} clients; ${failed ? `${failed} failures` : "none failed"}`,
      option: (how) => bars([
        { name: "trained", x: columns.round, y: columns.trained, colour: 0 },
        ...(failed ? [{ name: "failed", x: columns.round, y: columns.failed, colour: 1, tip: why }] : []),
      ], { along: "round", label: "clients", how }),
      onSelect: ({ row }) => row !== undefined && select({ round: columns.round[row] }),
    };
  });
}

function drawResources(place, selection, { ask, run, select, oneOf }) {
  const asked = ask(pathOf("runs", run.facts.run, "charts", "resources"));
  const metricOf = ({ facts }) => {
    const metrics = [...new Set(facts.lines.map((line) => line.metric))];
    return { metrics, metric: oneOf("rounds.resource", metrics, metrics.includes("round_s") ? "round_s" : metrics[0]) };
  };
  // Also where the chart stays as it is.
  asked.then(metricOf, () => {});
  return drawnOnce(place, asked, String(selection["rounds.resource"]), (table) => marker(table, selection, run.facts, select), (table) => {
    const { metrics, metric } = metricOf(table);
    const of = table.facts.lines.filter((line) => line.metric === metric).map((line) => ({ ...line, rows: rowsOfLine(table, line) }));
    listOf(place, metrics, metric, (chosen) => select({ "rounds.resource": chosen }));
    return {
      title: `${of[0].label} over rounds`, table, rows: of.flatMap((line) => line.rows), label: of.map((line) => line.name).join("; "),
      option: (how) => lines(of.map((line) => resourceLine(table.columns, line)), { along: "round", label: of[0].label, how }),
      notes: of.map((line) => line.band).concat(totals(table.columns, of)),
      onSelect: ({ row }) => row !== undefined && select({ round: table.columns.round[row] }),
    };
  });
}

function rowsOfLine({ columns, length }, line) {
  return Array.from({ length }, (_, row) => row).filter((row) => columns.metric[row] === line.metric && columns.who[row] === line.who);
}

function resourceLine(columns, { rows, name, who, count }) {
  return { ...part(columns, rows), name, colour: who === "server" ? "#000000" : "#0072B2", ...(count > 1 ? ends(columns, rows) : {}) };
}

function totals(columns, of) {
  return of.filter((line) => line.adds).map((line) => {
    const sum = line.rows.reduce((before, row) => before + columns.total[row], 0);
    const end = line.final ? `; the final evaluation took ${short(line.final)} ${line.unit} more` : "";
    return `in all rounds: ${short(sum)} ${line.unit}${line.count > 1 ? " of all clients" : ""}${end}`;
  });
}

/** A list above a chart, in its place before it. */
function listOf(place, options, chosen, onChoice) {
  if (place.listed?.of === `${options} ${chosen}`) return;
  const label = choice("resource", options.map((name) => [name, name.replaceAll("_", " ")]), chosen, onChoice);
  const before = place.previousElementSibling;
  label.className = "over-chart";
  if (place.listed) place.listed.replaceWith(label);
  else place.parentElement.insertBefore(element("div"), before?.nextElementSibling ?? place).append(label, place);
  place.listed = Object.assign(label, { of: `${options} ${chosen}` });
}
