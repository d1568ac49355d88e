/**
 * Outputs × truth: a cell holds the records of one class that the federated model calls another one, where they lie in
 * the contrastive components; behind them, how large that class' share is there.
 */
import { chart } from "fedlayers/chart.js";
import { ink, SEQUENTIAL } from "fedlayers/colours.js";
import { shortened } from "fedlayers/numbers.js";
import { axes, box, placed } from "fedlayers/views/heterogeneity/cells.js";
import { density, hull, unitOf } from "fedlayers/views/heterogeneity/geometry.js";
import { colours, flat, marks } from "fedlayers/views/heterogeneity/overview.js";
import { picture, rgb } from "fedlayers/views/heterogeneity/pictures.js";
import { GRIDS, own } from "fedlayers/views/heterogeneity/settings.js";

const LEFT_PX = 104, WIDEST_PX = 150;

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawMatrix(panel, known, select) {
  const { settings } = known;
  const grids = Object.keys(GRIDS).map((width) => /** @type {[string, string]} */ ([width, width]));
  const width = grids.find(([one]) => GRIDS[one] === settings.bins)?.[0] ?? "0.05";
  panel.choice("squares of the ground", grids, width, (grid) => select(own({ grid })));
  return panel.show([known.outputs, known.scores, known.selected], (outputs, scores, rows) => {
    const { columns, facts, length } = outputs;
    if (!columns.truth || columns.truth[0] === null) return panel.nothing("these records have no labels, so that there is no truth to set the outputs against");
    const cells = cellsOf(outputs, new Set(rows));
    const points = unitOf(scores);
    const { outs } = cells;
    chart(panel.place, {
      title: `What the federated model makes of each class`,
      label: `rows are the federated model's outputs, columns the truth; ${cells.list.length} cells hold records`,
      height: Math.min(Math.max(320, 62 * outs.length + 60), 760),
      option: (how) => option(how, outputs, cells, points, marks(length, rows), settings, panel.place.clientWidth),
      table: { columns: asColumns(cells), facts },
      notes: ["selected / inconsistent / all records of a cell", "colour: share of the class of this column", "wheel, + and -: zoom, drag: move"],
      onSelect: ({ row }) => {
        const cell = cells.list[row];
        if (cell) select({ records: `cell:${cell.federated}:${cell.truth}` });
      },
    });
  });
}

/** Returns which cells hold records, with counts: classes that no record has and nobody predicts are left out. */
function cellsOf({ columns: { truth, federated, consistent }, facts, length }, selected) {
  /** @type {Map<string, any>} */
  const found = new Map();
  for (let row = 0; row < length; row += 1) {
    const key = `${federated[row]} ${truth[row]}`;
    const cell = found.get(key) ?? { federated: federated[row], truth: truth[row], rows: [], all: 0, inconsistent: 0, selected: 0 };
    found.set(key, cell);
    cell.rows.push(row);
    cell.all += 1;
    if (!consistent[row]) cell.inconsistent += 1;
    if (selected.has(row)) cell.selected += 1;
  }
  const list = [...found.values()].sort((one, other) => one.federated - other.federated || one.truth - other.truth);
  const several = (key) => [...new Set(list.map((cell) => cell[key]))].sort((one, other) => one - other);
  return { list, truths: several("truth"), outs: several("federated"), classes: facts.classes };
}

function asColumns({ list }) {
  const names = ["federated", "truth", "selected", "inconsistent", "all"];
  return Object.fromEntries(names.map((name) => [name, list.map((cell) => cell[name])]));
}

function option(how, outputs, { list, truths, outs, classes }, points, isSelected, settings, room) {
  const { truth, consistent } = outputs.columns;
  const shades = colours(how);
  const across = new Map(truths.map((label, at) => [label, at]));
  const down = new Map(outs.map((label, at) => [label, at]));
  const grounds = groundsOf(outputs, points, truths, settings.bins, how);
  const name = (label) => shortened(String(classes[label] ?? label), 12);
  const layer = (kind, test, size) => {
    const rows = list.flatMap((cell) => cell.rows).filter(test);
    const federated = outputs.columns.federated;
    return {
      type: "scatter", name: kind, silent: true, large: true, largeThreshold: 400, progressive: 0, symbolSize: size, rows,
      itemStyle: { color: shades[kind], opacity: kind === "consistent" ? 0.45 : 0.9 }, symbol: kind === "consistent" ? "circle" : "triangle",
      dimensions: ["x", "y"],
      data: flat(rows.length, (at) => placed(across.get(truth[rows[at]]), down.get(federated[rows[at]]), points.x[rows[at]], points.y[rows[at]])),
    };
  };
  const labels = (names) => ({
    axisLabel: { show: true, hideOverlap: true, customValues: names.map((_, at) => at + 0.5), formatter: (at) => name(names[Math.floor(at)]) },
  });
  return {
    ...axes(truths.length, outs.length, {
      x: { ...labels(truths), name: "truth", nameLocation: "middle", nameGap: 26, position: "bottom" },
      y: { ...labels(outs), name: "federated model's output", nameLocation: "middle", nameGap: 82 },
      // Cells are no wider than they need to be.
      grid: { left: LEFT_PX, right: Math.max(10, room - LEFT_PX - WIDEST_PX * truths.length), top: 8, bottom: 46 },
    }),
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none" }, { type: "inside", yAxisIndex: 0, filterMode: "none" }],
    legend: { show: false },
    tooltip: {
      formatter: ({ seriesIndex, dataIndex }) => {
        const cell = seriesIndex === 0 ? list[dataIndex] : undefined;
        return cell ? [`truth ${classes[cell.truth]}`, `federated model: ${classes[cell.federated]}`, `${cell.all} records, ${cell.inconsistent} inconsistent, ${cell.selected} selected`] : "";
      },
    },
    series: [
      grid(how, list, across, down, grounds, points, isSelected, shades),
      layer("consistent", (row) => consistent[row] && !isSelected[row], 3),
      layer("inconsistent", (row) => !consistent[row] && !isSelected[row], 5),
      layer("selected", (row) => isSelected[row], 5),
    ],
  };
}

/** @type {WeakMap<any, {key: string, points: any, grounds: Map<number, HTMLCanvasElement>}>} the last grounds of each answer */
const drawnGrounds = new WeakMap();

/** Returns for each class a picture of its share among the records that lie in each part of the plane. */
function groundsOf(outputs, points, truths, bins, how) {
  const key = `${bins} ${how}`;
  const known = drawnGrounds.get(outputs);
  if (known?.key === key && known.points === points) return known.grounds;
  const { truth } = outputs.columns;
  const all = density(points, bins);
  const shades = rgb(SEQUENTIAL);
  const grounds = new Map(truths.map((label) => {
    const held = density(points, bins, (row) => truth[row] === label);
    return [label, picture(bins, bins, (at) => {
      const place = (bins - 1 - Math.floor(at / bins)) * bins + (at % bins);
      const [red, green, blue] = shades[Math.round(200 * (all[place] ? held[place] / all[place] : 0))];
      return [red, green, blue, held[place] ? (how === "dark" ? 110 : 150) : 0];
    })];
  }));
  drawnGrounds.set(outputs, { key, points, grounds });
  return grounds;
}

/** The cells: ground, outline of what is selected in it, counts. */
function grid(how, list, across, down, grounds, points, isSelected, shades) {
  const { text, rule } = ink(how);
  return {
    type: "custom", name: "cells", rows: list.map((_, at) => at), clip: true,
    data: list.map((cell) => [across.get(cell.truth) + 0.5, down.get(cell.federated) + 0.5]),
    renderItem: ({ dataIndex }, api) => {
      const cell = list[dataIndex];
      const shape = box(api, across.get(cell.truth), down.get(cell.federated));
      const isRight = cell.truth === cell.federated;
      const corners = hull(cell.rows.filter((row) => isSelected[row]).map((row) => [shape.x + points.x[row] * shape.width, shape.y + (1 - points.y[row]) * shape.height]));
      return {
        type: "group",
        children: [
          { type: "rect", shape, style: { fill: "transparent", stroke: isRight ? text : rule, lineWidth: isRight ? 1.5 : 1 } },
          { type: "image", style: { image: grounds.get(cell.truth), ...shape } },
          ...(corners.length > 2 ? [{ type: "polygon", shape: { points: corners }, style: { fill: "none", stroke: shades.selected, lineWidth: 1.5 } }] : []),
          { type: "text", style: { x: shape.x + 2, y: shape.y + 3, text: `${cell.selected} / ${cell.inconsistent} / ${cell.all}`, fill: text, fontSize: 10, overflow: "truncate", width: shape.width } },
        ],
      };
    },
  };
}
