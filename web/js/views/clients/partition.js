/** Who holds what: examples of each class at each client. */
import { cleared } from "fedlayers/chart.js";
import { element, short } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { frames, heightOf, overlaid } from "fedlayers/marks/overlay.js";

/** @param {HTMLElement} place @param {any} about */
export async function drawPartition(place, about) {
  const asked = about.ask(about.path("partition"));
  const { length } = await asked;
  if (!length) {
    cleared(place);
    place.append(element("p", { class: "note" }, "It is not known which examples clients hold."));
    return undefined;
  }
  return overlaid(place, asked, "", (table) => chartOf(table, about), ({ facts }) => {
    const client = facts.clients.findIndex((one) => one.client === about.selection.client), chosen = facts.classes.indexOf(about.selection.class);
    const sides = [facts.clients.length, facts.classes.length];
    return isTall(facts) ? frames({ row: client, column: chosen }, ...sides) : frames({ row: chosen, column: client }, ...sides.toReversed());
  });
}

const isTall = ({ clients, classes }) => clients.length > classes.length && clients.length <= 30;

function chartOf(table, { select }) {
  const { columns, facts } = table, shown = [];
  columns.split.forEach((split, row) => split === "all" && columns.examples[row] > 0 && shown.push(row));
  const places = new Map(facts.clients.map((one, at) => [one.client, at])), classAt = new Map(facts.classes.map((name, at) => [name, at]));
  const names = facts.clients.map((one) => one.name), tall = isTall(facts);
  const clients = shown.map((row) => places.get(columns.client[row])), classes = shown.map((row) => classAt.get(columns.label_name[row]));
  const total = shown.reduce((sum, row) => sum + columns.examples[row], 0);
  const splits = (row) => facts.splits.slice(1).map((split) => {
    const at = columns.client.findIndex((client, other) => client === columns.client[row] && columns.label[other] === columns.label[row] && columns.split[other] === split);
    return at < 0 ? "" : `${split}: ${short(columns.examples[at])}`;
  });
  return {
    title: `Examples of each class at each client, ${short(total)} in all`, table,
    label: `${names.length} clients, ${facts.classes.length} classes, ${total} examples`,
    height: heightOf(tall ? names.length : facts.classes.length),
    notes: ["grey: none", facts.left_out ? `${facts.left_out} more clients are in the tables` : ""],
    option: (how) => heatMap({
        columns: tall ? facts.classes : names, rows: tall ? names : facts.classes, x: tall ? classes : clients, y: tall ? clients : classes, values: shown.map((row) => columns.examples[row]),
        ids: shown, limits: facts.scale.limits, logarithmic: facts.scale.is_log, label: "examples", across: tall ? "class" : "client",
        down: tall ? "client" : "class", how, tip: (at) => splits(shown[at]),
      }),
    onSelect: ({ row }) => row !== undefined && select({ client: columns.client[row], class: columns.label_name[row] }),
  };
}
