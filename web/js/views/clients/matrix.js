/** Clients against clients by one measure, in the order that is chosen. */
import { get } from "fedlayers/address.js";
import { choice, short } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { frames, overlaid } from "fedlayers/marks/overlay.js";
import { roundNote } from "fedlayers/views/layers/values.js";

const LEAST_HIGH = 340, MOST_HIGH = 680, MOST_REASONS = 3;

/** @param {any} parts @param {any} about */
export function drawMatrix(parts, about) {
  const { selection, select } = about, asked = about.ask(about.path("matrix"), about.params);
  asked.then(({ facts }) => {
    if (!about.isCurrent()) return;
    about.oneOf("clients.order", facts.orders.map((one) => one.name), orderOf(facts, selection).name);
    about.oneOf("clients.setting", facts.settings, facts.setting);
    listed("clients-order", "order by", facts.orders.map((one) => one.name), orderOf(facts, selection).name, (name) => select({ "clients.order": name }));
    listed("clients-setting", "of", facts.settings, facts.setting, (name) => select({ "clients.setting": name }));
  }, () => {});
  return overlaid(parts.matrix, asked, `${selection["clients.order"]} ${selection.round}`, (table) => chartOf(table, about), ({ facts }) => {
    const { clients } = orderOf(facts, selection);
    return frames({ row: clients.indexOf(selection.client), column: clients.indexOf(selection.other) }, clients.length, clients.length);
  });
}

/** Offers several things in their place above the charts, nothing where there is one. */
function listed(id, label, names, chosen, onChoice) {
  const place = document.getElementById(id);
  place?.replaceChildren(...(names.length > 1 ? [choice(label, names.map((name) => [name, name || "plain"]), chosen, onChoice)] : []));
}

/** The order that is chosen, else by cluster where there are some, else by number. */
export function orderOf(facts, selection) {
  const named = (says) => facts.orders.find((one) => says(one.name));
  return named((name) => name === selection["clients.order"]) ?? named((name) => name.startsWith("cluster")) ?? facts.orders[0];
}

function chartOf(table, { selection, select }) {
  const { columns, facts, length } = table, order = orderOf(facts, selection);
  const place = new Map(order.clients.map((client, at) => [client, at]));
  const names = new Map(facts.clients.map((one) => [one.client, one.name]));
  const rows = order.clients.map((client) => names.get(client));
  const cells = { x: [], y: [], values: [], ids: [] };
  const add = (down, across, value, row) => {
    cells.y.push(place.get(down));
    cells.x.push(place.get(across));
    cells.values.push(value);
    cells.ids.push(row);
  };
  for (let row = 0; row < length; row += 1) {
    add(columns.client[row], columns.other[row], columns.value[row], row);
    if (facts.is_symmetric) add(columns.other[row], columns.client[row], columns.value[row], row);
  }
  if (facts.itself !== null) for (const client of order.clients) add(client, client, facts.itself);
  const groups = [...new Set(order.groups)];
  return {
    title: `${facts.label} between clients, ${facts.layer}, round ${facts.round}`,
    label: `a matrix of ${rows.length} clients in the order of ${order.name}`, table,
    height: Math.min(Math.max(160 + 30 * rows.length, LEAST_HIGH), MOST_HIGH),
    notes: [facts.measured, reading(facts), groups.length ? `order by ${order.name}: ${groups.map((name) => `${order.groups.filter((one) => one === name).length} in ${name}`).join(", ")}` : "", roundNote(facts, selection), ...absent(table)],
    option: (how) => {
      const option = heatMap({
        columns: rows, rows, ...cells, limits: facts.scale.limits, logarithmic: facts.scale.is_log, darkIsLow: facts.scale.is_reversed,
        label: facts.label, across: "client", down: "client", how, tip: (at) => tip(columns, cells.ids[at]),
      });
      option.series.push(...borders(order, how));
      return option;
    },
    onSelect: ({ value }) => {
      if (!value) return;
      const [other, client] = [order.clients[value[0]], order.clients[value[1]]];
      const isSame = get().client === client && get().other === other;
      select(isSame ? { client: null, other: null } : { client, other: other === client ? null : other });
    },
  };
}

/** Lines between groups. */
function borders({ groups }, how) {
  const at = groups.flatMap((name, place) => place && name !== groups[place - 1] ? [place] : []);
  if (!at.length) return [];
  return [{
    type: "custom", name: "groups", silent: true, z: 4, data: at.map((place) => [place, place]), tooltip: { show: false },
    renderItem: ({ coordSys: box }, api) => {
      const [wide, high] = api.size([1, 1]), [x, y] = api.coord([api.value(0), api.value(1)]);
      const style = { stroke: how === "dark" ? "#14181d" : "#ffffff", lineWidth: 2.5 }, left = x - wide / 2, top = y - high / 2;
      return { type: "group", children: [
        { type: "line", shape: { x1: left, x2: left, y1: box.y, y2: box.y + box.height }, style },
        { type: "line", shape: { x1: box.x, x2: box.x + box.width, y1: top, y2: top }, style },
      ] };
    },
  }];
}

function tip(columns, row) {
  if (row === undefined) return ["by definition"];
  const found = [];
  for (const [name, words] of [["stderr", "standard error"], ["n", "n ="], ["chance", "chance alone: mean"], ["chance_hi", "chance alone: limit"], ["p", "p ="]]) {
    if (Number.isFinite(columns[name][row])) found.push(`${words} ${short(columns[name][row])}`);
  }
  return found;
}

const reading = ({ itself }) => itself === null ? "grey: no value" : "dark: alike; grey: no value";

/** What was left out, and why values are missing. */
function absent({ columns, facts }) {
  const reasons = new Map();
  columns.value.forEach((value, at) => {
    const told = columns.reason[at] ?? "no reason given";
    if (Number.isNaN(value)) reasons.set(told, (reasons.get(told) ?? 0) + 1);
  });
  const found = [...reasons].slice(0, MOST_REASONS).map(([reason, count]) => `${count} without a value: ${reason}`);
  return facts.left_out ? [`${facts.left_out} more clients are in the tables`, ...found] : found;
}
