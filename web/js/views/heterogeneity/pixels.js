/** Maps over the pixels of images, side by side in one chart; a click picks a pixel, which is a feature. */
import { chart } from "fedlayers/chart.js";
import { DIVERGING, ink, PALETTE, SEQUENTIAL, shown } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { drawingOf } from "fedlayers/views/heterogeneity/brush.js";
import { axes, box, contained } from "fedlayers/views/heterogeneity/cells.js";
import { map } from "fedlayers/views/heterogeneity/pictures.js";

const HEAD_PX = 18;

/** @type {WeakMap<any, (place: {x: number, y: number}) => void>} who is told of a click on a chart's pixel */
const told = new WeakMap();

/**
 * @typedef {Object} Map a map of height × width values
 * @property {string} name
 * @property {ArrayLike<number>} values row after row from the top.
 * @property {boolean} [signed] whether values lie on both sides of 0, which is then the middle of the colours.
 * @property {number} [most] the value at the end of the colours; the largest one of this map if absent.
 */

/**
 * Draws maps.
 * @param {HTMLElement} place
 * @param {{title: string, label: string, maps: (Map | {name: string, canvas: HTMLCanvasElement})[], height: number, width: number,
 *   picked: ?number, notes: string[], facts: any, onPick: (pixel: number) => void, high?: number}} about `picked` counts row
 *   after row from the top
 */
export function drawPixels(place, about) {
  const { maps, height, width } = about;
  chart(place, {
    title: about.title, label: about.label, height: about.high ?? 260,
    option: (how) => option(how, about),
    table: { columns: asColumns(about), facts: about.facts },
    notes: [...about.notes, "Shift and the arrow keys move the pixel"],
  });
  const drawing = drawingOf(place);
  if (!told.has(drawing)) {
    drawing.getZr().on("click", ({ offsetX, offsetY }) => told.get(drawing)({ x: offsetX, y: offsetY }));
    place.querySelector(".chart-canvas").addEventListener("keydown", (event) => moved(place, event), true);
  }
  place.pixels = about;
  told.set(drawing, ({ x, y }) => {
    const pixel = pixelAt(drawing, maps.length, height, width, x, y);
    if (pixel !== null) about.onPick(pixel);
  });
}

// Columns and rows that a key goes on.
const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };

/** Picks the neighbour of the pixel that is picked, at a key. @param {any} place @param {KeyboardEvent} event */
function moved(place, event) {
  const step = event.shiftKey ? STEPS[event.key] : undefined;
  if (!step) return;
  const { picked, width, height, onPick } = place.pixels, at = picked ?? 0;
  const within = (value, count) => Math.min(Math.max(value, 0), count - 1);
  onPick(within(Math.floor(at / width) + step[1], height) * width + within((at % width) + step[0], width));
  event.preventDefault();
  event.stopImmediatePropagation();
}

/** Returns the pixel below a place of the chart, null if there is none. */
export function pixelAt(drawing, count, height, width, x, y) {
  const api = { coord: (point) => drawing.convertToPixel({ gridIndex: 0 }, point) };
  for (let at = 0; at < count; at += 1) {
    const shape = contained(box(api, at, 0, HEAD_PX), width, height);
    const [column, row] = [Math.floor(((x - shape.x) / shape.width) * width), Math.floor(((y - shape.y) / shape.height) * height)];
    if (column >= 0 && column < width && row >= 0 && row < height) return row * width + column;
  }
  return null;
}

function asColumns({ maps, height, width }) {
  const size = height * width;
  const known = maps.filter((one) => one.values);
  return {
    row: Int32Array.from({ length: size }, (_, at) => Math.floor(at / width)),
    column: Int32Array.from({ length: size }, (_, at) => at % width),
    ...Object.fromEntries(known.map((one) => [one.name, one.values])),
  };
}

/** Returns the largest absolute value. @param {ArrayLike<number>} values */
export function largest(values) {
  let most = 0;
  for (let at = 0; at < values.length; at += 1) most = Math.max(most, Math.abs(values[at]));
  return most;
}

function option(how, { maps, height, width, picked }) {
  const { text, rule } = ink(how);
  const drawn = maps.map((one) => {
    if (one.canvas) return { canvas: one.canvas, words: one.name };
    const most = one.most ?? largest(one.values);
    const limits = /** @type {[number, number]} */ ([one.signed ? -most : 0, most]);
    return {
      canvas: map(one.values, height, width, limits, one.signed ? DIVERGING : SEQUENTIAL),
      words: `${one.name} (${one.signed ? "±" : "0 to "}${short(most, 2)})`,
    };
  });
  return {
    ...axes(maps.length, 1, { grid: { left: 0, right: 0, top: 0, bottom: 0 } }),
    tooltip: {
      formatter: ({ dataIndex }) => {
        const { values, name } = maps[dataIndex];
        return values && picked !== null ? [name, `pixel ${picked % width}, ${Math.floor(picked / width)}: ${short(values[picked])}`] : [name];
      },
    },
    series: [{
      type: "custom", name: "maps", data: maps.map((_, at) => [at, 0]),
      renderItem: ({ dataIndex }, api) => {
        const cell = box(api, dataIndex, 0, HEAD_PX);
        const shape = contained(cell, width, height);
        const side = shape.width / width;
        const mark = picked === null ? [] : [{
          type: "rect", style: { fill: "none", stroke: shown(PALETTE[3], how), lineWidth: 2 },
          shape: { x: shape.x + (picked % width) * side - 1, y: shape.y + Math.floor(picked / width) * side - 1, width: side + 2, height: side + 2 },
        }];
        return {
          type: "group",
          children: [
            { type: "text", style: { x: shape.x, y: shape.y - HEAD_PX + 2, text: drawn[dataIndex].words, fill: text, fontSize: 11, overflow: "truncate", width: cell.width } },
            { type: "image", style: { image: drawn[dataIndex].canvas, ...shape } },
            { type: "rect", shape, style: { fill: "none", stroke: rule } },
            ...mark,
          ],
        };
      },
    }],
  };
}
