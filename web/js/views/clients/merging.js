/** Who is near whom: the order in which clients merge, and a map of them. */
import { ink, PALETTE, shown } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { nameAxis, plot, valueAxis } from "fedlayers/marks/axes.js";
import { names } from "fedlayers/marks/names.js";
import { overlaid, rings } from "fedlayers/marks/overlay.js";

const GREY = "#888888", MOST_NAMED = 40;
const SYMBOLS = ["circle", "triangle", "rect", "diamond", "pin", "arrow", "roundRect"];

/** The colour of a cluster, as in the figures; clusters are numbered from 0, and −1 stands for none. */
export const colourOf = (cluster, how) => cluster < 0 ? GREY : shown(PALETTE[cluster % PALETTE.length], how);

/** @param {HTMLElement} place @param {any} about */
export function drawMerging(place, about) {
  return overlaid(place, about.ask(about.path("merging"), about.params), "", (table) => mergingOf(table, about), ({ facts }) =>
    rings(facts.leaves.flatMap((leaf, at) => isSelected(leaf.client, about) ? [[at, 0]] : []), 1));
}

const isSelected = (client, { selection }) => client === selection.client || client === selection.other;

function mergingOf(table, { select }) {
  const { columns, facts, length } = table, { leaves } = facts;
  const lines = [];
  for (let row = 0; row < length; row += 4) lines.push([0, 1, 2, 3].map((at) => [columns.x[row + at], columns.y[row + at]]));
  const many = leaves.length > MOST_NAMED, heights = lines.map((corners) => corners[1][1]);
  return {
    title: `How clients merge, by average linkage of ${facts.distance || facts.label}`,
    label: facts.reason || `${leaves.length} clients merge at ${short(Math.min(...heights))} to ${short(Math.max(...heights))}`, table, height: 260,
    notes: [facts.reason, clustersNote(facts), leftOut(facts)],
    option: (how) => ({
      xAxis: leafAxis(leaves, many),
      yAxis: { ...valueAxis(facts.distance || "distance"), min: 0 }, grid: plot({ top: 14, bottom: 66 }), legend: { show: false },
      tooltip: { formatter: ({ seriesIndex, dataIndex }) => seriesIndex ? `client ${leaves[dataIndex].name}, ${called(leaves[dataIndex].cluster)}` : "" },
      series: [
        {
          type: "custom", name: "mergers", silent: true, data: lines.map((corners, at) => [corners[0][0], corners[3][0], heights[at]]), encode: { x: [0, 1], y: 2 },
          renderItem: ({ dataIndex }, api) => ({
            type: "polyline", silent: true, shape: { points: lines[dataIndex].map((corner) => placed(corner, api)) }, style: { fill: "none", stroke: ink(how).soft, lineWidth: 1.4 },
          }),
        },
        dots("clients", leaves.map((leaf, at) => ({ at: [at, 0], ...leaf })), how, many ? 5 : 10),
      ],
    }),
    onSelect: ({ name }) => name !== undefined && select({ client: Number(name) }),
  };
}

/** The clients, their names below the ring that a selected one has. */
function leafAxis(leaves, many) {
  const axis = nameAxis(many ? `${leaves.length} clients` : "client", leaves.map((leaf) => leaf.name), { gap: 32, length: 12 });
  return { ...axis, axisLabel: many ? { show: false } : { ...axis.axisLabel, margin: 14 } };
}

/** Category axes have places at whole numbers only: what lies between is reckoned from two of them. */
function placed([x, y], api) {
  const below = Math.floor(x), [left, top] = api.coord([below, y]), [wide] = api.size([1, 1]);
  return [left + (x - below) * wide, top];
}

function dots(name, nodes, how, size) {
  return {
    type: "scatter", name, z: 4, clip: false, symbolSize: size,
    data: nodes.map((node) => ({
      name: String(node.client), value: node.at, symbol: symbolOf(node.cluster),
      itemStyle: { color: colourOf(node.cluster, how) },
    })),
  };
}

/** @param {HTMLElement} place @param {any} about */
export function drawMap(place, about) {
  return overlaid(place, about.ask(about.path("map"), about.params), "", (table) => mapOf(table, about), ({ columns }) => {
    const mine = columns.kind.flatMap((kind, row) => kind === "client" && isSelected(columns.client[row], about) ? [row] : []);
    return rings(mine.map((row) => [columns.x[row], columns.y[row]]), 1);
  });
}

function mapOf(table, { select }) {
  const { columns, facts } = table, nodes = [], lines = [];
  columns.kind.forEach((kind, row) => (kind === "client" ? nodes : lines).push(row));
  const at = new Map(nodes.map((row) => [columns.client[row], [columns.x[row], columns.y[row]]]));
  const share = (axis) => facts.shares ? ` (${Math.round(100 * facts.shares[axis])} %)` : "";
  const many = nodes.length > MOST_NAMED, size = many ? 7 : 12;
  const clusters = [...new Set(nodes.map((row) => columns.cluster[row]))].sort((a, b) => a - b);
  return {
    title: `Who is near whom, by ${facts.distance || facts.label}`,
    label: facts.reason || `${nodes.length} clients in ${clusters.length} clusters`, table, height: 320,
    notes: [
      facts.reason, clustersNote(facts), leftOut(facts), lines.length ? "lines: up to the median distance, the stronger the nearer" : "",
      facts.lines_left_out ? `${facts.lines_left_out} weaker lines are left out` : "",
    ],
    option: (how) => ({
      xAxis: { ...valueAxis(`first principal coordinate${share(0)}`), nameGap: 26, splitLine: { show: false }, axisLine: { onZero: false } },
      yAxis: { ...valueAxis(`second${share(1)}`), splitLine: { show: false }, axisLine: { onZero: false } },
      grid: plot({ bottom: clusters.length > 1 ? 72 : 46 }), legend: { show: clusters.length > 1, type: "scroll", bottom: 0, data: clusters.map(called) },
      tooltip: { formatter: ({ data }) => data?.row === undefined ? "" : [`client ${columns.client_name[data.row]}`, called(columns.cluster[data.row])] },
      series: [
        joined(lines.map((row) => [...at.get(columns.client[row]), ...at.get(columns.other[row]), columns.strength[row]])),
        ...clusters.map((cluster) => mapped(cluster, nodes.filter((row) => columns.cluster[row] === cluster), columns, how, size)),
        ...(many ? [] : [names(nodes.map((row) => ({ at: at.get(columns.client[row]), name: columns.client_name[row].slice(-14) })), size, how)]),
      ],
    }),
    onSelect: ({ name }) => name !== undefined && select({ client: Number(name) }),
  };
}

function mapped(cluster, rows, columns, how, size) {
  const nodes = rows.map((row) => ({ client: columns.client[row], at: [columns.x[row], columns.y[row]], cluster }));
  const found = dots(called(cluster), nodes, how, size);
  found.itemStyle = { color: colourOf(cluster, how) };
  found.symbol = symbolOf(cluster);
  found.data.forEach((item, at) => Object.assign(item, { row: rows[at] }));
  return found;
}

function joined(ends) {
  return {
    type: "custom", name: "near", silent: true, z: 1, data: ends, encode: { x: [0, 2], y: [1, 3] }, tooltip: { show: false },
    renderItem: (_, api) => {
      const [x1, y1] = api.coord([api.value(0), api.value(1)]), [x2, y2] = api.coord([api.value(2), api.value(3)]);
      return { type: "line", silent: true, shape: { x1, y1, x2, y2 }, style: { stroke: GREY, lineWidth: 1.2, opacity: 0.1 + 0.6 * api.value(4) } };
    },
  };
}

/** What a cluster is called. */
export const called = (cluster) => cluster < 0 ? "no cluster" : `cluster ${cluster}`;

const symbolOf = (cluster) => cluster < 0 ? "circle" : SYMBOLS[cluster % SYMBOLS.length];

function clustersNote({ clusters }) {
  return clusters.round === undefined ? "no clusters were found" : `colours: clusters of round ${clusters.round}${clusters.by ? ` by ${clusters.by}` : ""}`;
}

function leftOut(facts) {
  return facts.left_out_names.length ? `without ${facts.left_out_names.length} clients that lack values with others` : "";
}
