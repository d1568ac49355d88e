// What is selected, drawn over a chart on a layer of its own: the chart below stays as it is, however large.

/* global echarts */

import { drawn } from "fedlayers/chart.js";

/** @typedef {(chart: any) => any[]} Marks what is drawn over a chart, as shapes of echarts.graphic */

/** @type {WeakMap<Element, {table: any, key: string}>} what each place shows */
const shown = new WeakMap();
/** @type {WeakMap<object, {marks: Marks, shapes: any[], size: string}>} what lies over each chart */
const over = new WeakMap();

/**
 * Draw a chart as `drawn` does, but only where it is not there already, and mark in it what is selected.
 * @param {HTMLElement} place
 * @param {Promise<any>} asked its table
 * @param {string} key what else the chart depends on, such as the order of its rows
 * @param {(table: any) => import("fedlayers/chart.js").Chart} make
 * @param {(table: any) => Marks} marksOf
 */
export async function overlaid(place, asked, key, make, marksOf) {
  const table = await asked.catch(() => null);
  const known = shown.get(place);
  if (!table || known?.table !== table || known.key !== key || place.charted !== table) {
    shown.set(place, { table, key });
    await drawn(place, asked, make);
  }
  if (table && place.charted === table) marked(place, marksOf(table));
}

/** @param {HTMLElement} place @param {Marks} marks */
function marked(place, marks) {
  const chart = echarts.getInstanceByDom(place.querySelector(".chart-canvas"));
  if (!over.has(chart)) {
    over.set(chart, { marks, shapes: [], size: "" });
    // A plot that has another size, or another colour, has its marks elsewhere.
    chart.on("finished", () => over.get(chart).size !== sizeOf(chart) && put(chart));
  }
  over.get(chart).marks = marks;
  put(chart);
}

function put(chart) {
  const held = over.get(chart), zr = chart.getZr();
  for (const shape of held.shapes) zr.remove(shape);
  held.size = sizeOf(chart);
  held.shapes = held.marks(chart);
  for (const shape of held.shapes) zr.add(shape);
}

const rectOf = (chart) => chart.getModel().getComponent("grid").coordinateSystem.getRect();
const sizeOf = (chart) => Object.values(rectOf(chart)).join();

/** Dark within light: seen on every colour, on a light page and on a dark one. */
function twice(make) {
  return [make({ stroke: "#ffffff", lineWidth: 4 }), make({ stroke: "#000000", lineWidth: 2 })];
}

/**
 * Frames around a row and a column of a heat map.
 * @param {{row?: number, column?: number}} at their numbers; absent or negative for none
 * @param {number} rows how many there are @param {number} columns
 * @returns {Marks}
 */
export const frames = ({ row = -1, column = -1 }, rows, columns) => (chart) => {
  const { x, y, width, height } = rectOf(chart), wide = width / columns, high = height / rows;
  const boxes = [];
  if (row >= 0) boxes.push({ x, y: y + row * high, width, height: high });
  if (column >= 0) boxes.push({ x: x + column * wide, y, width: wide, height });
  return boxes.flatMap((shape) => twice((stroke) => new echarts.graphic.Rect({ shape, style: { fill: "none", ...stroke }, silent: true, zlevel: 1 })));
};

/** Rings around points. @param {[number, number][]} points on the axes of the first series @returns {Marks} */
export const rings = (points, series = 0) => (chart) => points.flatMap((point) => {
  const [cx, cy] = chart.convertToPixel({ seriesIndex: series }, point);
  return twice((stroke) => new echarts.graphic.Circle({ shape: { cx, cy, r: 9 }, style: { fill: "none", ...stroke }, silent: true, zlevel: 1 }));
});

/** A line through points, broken where there is none. @param {[number, ?number][]} points of the first series @returns {Marks} */
export const thread = (points, stroke) => (chart) => {
  const parts = [[]];
  for (const point of points) {
    if (point[1] !== null && Number.isFinite(point[1])) parts.at(-1).push(chart.convertToPixel({ seriesIndex: 0 }, point));
    else if (parts.at(-1).length) parts.push([]);
  }
  const drawnAs = { fill: "none", stroke, lineWidth: 3 };
  return parts.filter((part) => part.length > 1).map((part) => new echarts.graphic.Polyline({ shape: { points: part }, style: drawnAs, silent: true, zlevel: 1 }));
};

/** The height of a heat map with so many rows, in pixels. @param {number} rows */
export function heightOf(rows) {
  return Math.round(Math.min(Math.max(110 + 19 * rows, 200), 720));
}
