/** Which layers are shared in which round, the transition that decided it, and both in words. */
import { cleared } from "fedlayers/chart.js";
import { SEQUENTIAL } from "fedlayers/colours.js";
import { element } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { lines } from "fedlayers/marks/lines.js";
import { frames, heightOf, overlaid, thread } from "fedlayers/marks/overlay.js";
import { placing } from "fedlayers/numbers.js";
import { clientNames } from "fedlayers/selection.js";

const GREY = "#999999";

/** @param {any} parts @param {any} about */
export async function drawPlan(parts, about) {
  const { ask, path, known, selection } = about;
  parts.sharing.toggleAttribute("hidden", !known.facts.plan && !known.facts.transition);
  parts.plan.toggleAttribute("hidden", !known.facts.plan);
  if (!known.facts.plan) return cleared(parts.plan);
  const everybody = await ask(path("plan"));
  // A client with a plan of its own is looked at; of any other the plan of all is the answer.
  const client = everybody.facts.own.includes(selection.client) ? selection.client : null;
  return overlaid(parts.plan, ask(path("plan"), { client }), "", (table) => planOf(table, about), ({ facts }) => {
    const at = { row: facts.layers.indexOf(selection.layer), column: facts.rounds.indexOf(selection.round) };
    return frames(at, facts.layers.length, facts.rounds.length);
  });
}

function planOf(table, { selection, select, run }) {
  const { columns, facts } = table, isOfAll = facts.of === "all clients";
  const layerAt = new Map(facts.layers.map((name, at) => [name, at])), roundAt = new Map(facts.rounds.map((round, at) => [round, at]));
  const away = columns.shared.some(Number.isNaN);
  return {
    title: `Layers that are sent and averaged, ${isOfAll ? facts.of : `client ${clientNames(run.facts)[selection.client]}`}`,
    label: `${facts.layers.length} layers, ${facts.rounds.length} rounds`, table, height: heightOf(facts.layers.length),
    notes: [
      "0: personal, or not sent; 1: shared", facts.own.length && isOfAll ? "between: share of clients; choose a client for its own plan" : "",
      away ? "grey: took no part" : "",
    ],
    option: (how) => heatMap({
        columns: facts.rounds.map(String), rows: facts.layers, x: Array.from(columns.round, (round) => roundAt.get(round)),
        y: columns.layer.map((name) => layerAt.get(name)), values: columns.shared, limits: [0, 1], colours: SEQUENTIAL, label: "shared",
        across: "round", down: "layer", how,
      }),
    onSelect: ({ row }) => row !== undefined && select({ layer: columns.layer[row], round: columns.round[row] }),
  };
}

/** @param {any} parts @param {any} about */
export async function drawTransition(parts, about) {
  const { ask, path, known } = about;
  parts.transitions.toggleAttribute("hidden", !known.facts.transition);
  parts.why.toggleAttribute("hidden", !known.facts.transition);
  if (!known.facts.transition) return;
  const asked = ask(path("transition"));
  const { facts } = await asked;
  if (!about.isCurrent()) return;
  const sentences = [...facts.sentences, ...facts.measures.map((one) => one.sentence)];
  parts.why.replaceChildren(...sentences.map((sentence) => element("p", {}, `${sentence[0].toUpperCase()}${sentence.slice(1)}.`)));
  while (parts.transitions.children.length < facts.measures.length) parts.transitions.append(element("div"));
  while (parts.transitions.children.length > facts.measures.length) {
    cleared(parts.transitions.lastElementChild);
    parts.transitions.lastElementChild.remove();
  }
  await Promise.all(facts.measures.map((measure, at) => overlaid(
    parts.transitions.children[at], asked, measure.measure, (table) => transitionOf(table, measure, about), ({ columns }) => ofClient(columns, measure, about),
  )));
}

const SCALE = { kind: "symlog", threshold: 1 };

/** The line of the selected client. */
function ofClient(columns, { measure }, { selection }) {
  const mine = columns.measure.flatMap((name, row) => name === measure && columns.client[row] === selection.client ? [row] : []);
  return thread(mine.map((row) => [columns.place[row], placing(SCALE).to(columns.value[row])]), "#CC79A7");
}

function transitionOf(table, measure, { select }) {
  const { columns, facts } = table, rowsOf = new Map();
  columns.measure.forEach((name, row) => {
    if (name !== measure.measure) return;
    const key = columns.client[row];
    if (!rowsOf.has(key)) rowsOf.set(key, []);
    rowsOf.get(key).push(row);
  });
  const found = [...rowsOf].map(([client, rows]) => {
    const of = (name) => rows.map((row) => columns[name][row]), isCommon = Number.isNaN(client);
    const name = isCommon ? "median over clients" : "clients";
    return { name, rows, x: of("place"), y: of("value"), faint: !isCommon, ...(isCommon ? { low: of("low"), high: of("high"), colour: "#0072B2" } : { colour: GREY }) };
  });
  const after = measure.last === null ? "no transition" : `after ${measure.last}`;
  return {
    title: `Rise of ${measure.measure} to the threshold: ${after}, round ${facts.round}`, label: measure.sentence, table, height: 300,
    notes: [facts.band, "grey: single clients; strong: the selected one"],
    option: (how) => lines(found, {
      along: "layer", names: facts.layers, label: facts.label, scale: SCALE, how, level: { value: facts.threshold, name: "threshold" },
    }),
    onSelect: ({ row }) => {
      if (row === undefined) return;
      const client = columns.client[row];
      select({ layer: columns.layer[row], ...(Number.isNaN(client) ? {} : { client }) });
    },
  };
}
