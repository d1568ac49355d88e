/** The overview: a client's records in contrastive components, consistent and inconsistent ones, to be selected from. */
import { chart } from "fedlayers/chart.js";
import { ink, PALETTE, shown } from "fedlayers/colours.js";
import { valueAxis } from "fedlayers/marks/axes.js";
import { short } from "fedlayers/html.js";
import { hull } from "fedlayers/views/heterogeneity/geometry.js";
import { listed } from "fedlayers/views/heterogeneity/records.js";
import { caught, onBrush, unbrushed } from "fedlayers/views/heterogeneity/brush.js";
import { own } from "fedlayers/views/heterogeneity/settings.js";

/** Consistent records are grey circles, inconsistent ones red triangles: told apart without colours, too. */
const KINDS = [
  { name: "consistent", isIn: (consistent) => consistent, symbol: "circle", size: 3.5 },
  { name: "inconsistent", isIn: (consistent) => !consistent, symbol: "triangle", size: 7 },
];

/** Returns the colours of both kinds. @param {"light"|"dark"} how */
export function colours(how) {
  return { consistent: ink(how).soft, inconsistent: shown(PALETTE[1], how), selected: shown(PALETTE[0], how) };
}

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawOverview(panel, known, select) {
  const { settings } = known;
  return panel.show([known.outputs, known.scores, known.selected], (outputs, scores, rows) => {
    const { place } = panel;
    const isOfSelection = settings.space !== "overview" && rows.length > 0;
    const odd = countOdd(outputs.columns.consistent);
    chart(place, {
      title: `Records of client ${settings.names[settings.client]} in contrastive components${isOfSelection ? " of the selection" : ""}`,
      label: `${odd} of ${outputs.length} records are inconsistent, ${rows.length} are selected`,
      height: 380,
      option: (how) => option(how, outputs, scores, rows),
      table: {
        columns: { ...outputs.columns, ...scores.columns, selected: marks(outputs.length, rows) },
        facts: { ...outputs.facts, alpha: scores.facts.alpha },
      },
      notes: [
        `α = ${short(scores.facts.alpha, 3)}`,
        isOfSelection
          ? "these directions set the selected records apart from the others"
          : "all records vary along these directions, the inconsistent ones little",
        ...(settings.space === "overview" || isOfSelection ? [] : ["nothing is selected to be set against the rest"]),
      ],
      onSelect: ({ row }) => row !== undefined && select(own({ example: row })),
    });
    onBrush(place, (areas) => {
      unbrushed(place);
      select({ records: listed(caught(areas, scores.columns.c1, scores.columns.c2 ?? zeros(scores))) });
    });
  });
}

const zeros = ({ length }) => new Float64Array(length);

/** @param {ArrayLike<boolean>} consistent */
export function countOdd(consistent) {
  let odd = 0;
  for (let row = 0; row < consistent.length; row += 1) odd += consistent[row] ? 0 : 1;
  return odd;
}

/** Returns for each record whether it is selected. @param {number} count @param {number[]} rows */
export function marks(count, rows) {
  const found = new Array(count).fill(false);
  for (const row of rows) found[row] = true;
  return found;
}

function option(how, { columns, length }, scores, rows) {
  const [x, y] = [scores.columns.c1, scores.columns.c2 ?? zeros(scores)];
  const isSelected = marks(length, rows);
  const shades = colours(how);
  const series = KINDS.flatMap((kind) => [false, true].map((selected) => {
    const own = [];
    for (let row = 0; row < length; row += 1) {
      if (kind.isIn(columns.consistent[row]) && isSelected[row] === selected) own.push(row);
    }
    return points(kind, own, x, y, shades[kind.name], { selected, faded: rows.length > 0 && !selected });
  }));
  return {
    xAxis: { ...valueAxis("contrastive component 1"), nameGap: 26, splitLine: { show: false } },
    yAxis: { ...valueAxis("contrastive component 2"), splitLine: { show: false } },
    grid: { left: 62, right: 14, top: 30, bottom: 70 },
    legend: { bottom: 0, data: KINDS.map(({ name, symbol }) => ({ name, icon: symbol, itemStyle: { color: shades[name], opacity: 1 } })) },
    series: [...series, outline(rows, x, y, shades.selected)],
    tooltip: {
      formatter: ({ seriesIndex, dataIndex }) => {
        const row = series[seriesIndex]?.rows[dataIndex];
        return row === undefined ? "" : [`record ${row}`, ...said(columns, row)];
      },
    },
    ...brush(how),
  };
}

/** Returns what both models say about a record, a line each. @param {any} columns @param {number} row */
function said({ truth, local, federated, local_confidence, federated_confidence }, row) {
  const sure = (share) => `${Math.round(100 * share)} %`;
  return [
    ...(Number.isFinite(truth?.[row]) ? [`truth: class ${truth[row]}`] : []),
    `stand-alone: class ${local[row]} (${sure(local_confidence[row])})`,
    `federated: class ${federated[row]} (${sure(federated_confidence[row])})`,
  ];
}

function points({ name, symbol, size }, rows, x, y, colour, { selected, faded }) {
  return {
    type: "scatter", name, rows, symbol, symbolSize: selected ? size + 1.5 : size, large: true, largeThreshold: 400, progressive: 0,
    z: (selected ? 4 : 2) + (name === "inconsistent" ? 1 : 0),
    itemStyle: { color: colour, opacity: faded ? 0.3 : 0.85 },
    dimensions: ["x", "y"], data: flat(rows.length, (at) => [x[rows[at]], y[rows[at]]]),
  };
}

/**
 * Returns points one after the other, as the chart library takes them without a look at each.
 * @param {number} count @param {(at: number) => number[]} point
 */
export function flat(count, point) {
  const found = new Float64Array(2 * count);
  for (let at = 0; at < count; at += 1) [found[2 * at], found[2 * at + 1]] = point(at);
  return found;
}

/** The outline of the selected records. */
function outline(rows, x, y, colour) {
  const corners = hull(rows.map((row) => [x[row], y[row]]));
  return {
    type: "custom", name: "selected", silent: true, z: 3, tooltip: { show: false }, data: corners.length > 2 ? [corners[0]] : [],
    renderItem: (_, api) => ({
      type: "polygon", silent: true, shape: { points: corners.map((corner) => api.coord(corner)) },
      style: { fill: "none", stroke: colour, lineWidth: 1.5, lineDash: [5, 3] },
    }),
  };
}

function brush(how) {
  const { soft } = ink(how);
  const title = { rect: "select a rectangle", polygon: "select with a lasso" };
  return {
    brush: { toolbox: ["rect", "polygon"], xAxisIndex: 0, brushStyle: { borderColor: soft, color: "rgba(128,128,128,0.15)" }, outOfBrush: {} },
    toolbox: { right: 4, top: 0, itemSize: 14, feature: { brush: { type: ["rect", "polygon"], title } } },
  };
}
