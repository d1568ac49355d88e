// A chart in its place on the page: drawn by ECharts, read by screen readers, reached by keys, saved as a file.

import { keys } from "fedlayers/charting/keys.js";
import { withLegend } from "fedlayers/charting/legend.js";
import { heightOf, optionOf, theme } from "fedlayers/charting/look.js";
import { slider } from "fedlayers/charting/marker.js";
import { saving } from "fedlayers/charting/saving.js";
import { onScheme } from "fedlayers/colours.js";

/**
 * What a chart is.
 * @typedef {object} Chart
 * @property {string} title what it shows, in words
 * @property {string} [label] what a reader who cannot see it is told beside the title
 * @property {object | ((how: "light" | "dark") => object)} option of ECharts, see fedlayers/marks/*.js for its parts; its
 *   `notes` are told with those of the chart
 * @property {{columns: Record<string, ArrayLike<any>>, facts: object}} table what is drawn, for tests and as CSV
 * @property {number[]} [rows] which rows of the table are drawn, where not all are: the CSV has those
 * @property {(what: Selected) => void} [onSelect] told what was clicked, chosen by Enter, or caught by brush or lasso
 * @property {import("fedlayers/charting/marker.js").Marker} [marker] a line across the plot that can be dragged
 * @property {number} [height] in pixels
 * @property {string[]} [notes] what was left out, what bands and bars are
 */

/**
 * What was selected. `row` and `rows` count rows of the table; a series says with `rows` which row each of its items is.
 * @typedef {{row?: number, rows?: number[], series?: string, name?: string, value?: any}} Selected
 */

/** @type {WeakMap<Element, object>} what is known of each place that holds a chart */
const charts = new WeakMap();
/** @type {Set<WeakRef<Element>>} places to draw anew when the page turns dark or light */
const places = new Set();
const REPLACED = ["series", "xAxis", "yAxis", "grid", "legend", "visualMap"];

onScheme(() => {
  for (const one of places) {
    const held = charts.get(one.deref());
    if (!held) places.delete(one);
    else if (held.spec) {
      held.drawing.setTheme(theme());
      redraw(held);
    }
  }
});

/**
 * Draw a chart in a place, or what it is now if it was drawn there before.
 * @param {HTMLElement} element an element for this chart only; it keeps `charted`, the table that is drawn
 * @param {Chart} spec
 */
export function chart(element, spec) {
  const held = charts.get(element)?.drawing ? charts.get(element) : made(element);
  held.spec = spec;
  held.asked = null;
  element.charted = spec.table;
  element.removeAttribute("aria-busy");
  // What was said while the one before stood there.
  element.querySelector(":scope > .told")?.remove();
  held.heading.textContent = spec.title;
  held.saved(spec.title);
  held.said.textContent = "";
  redraw(held);
  // What is known of what is drawn comes from who draws it.
  const notes = [...(spec.notes ?? []), ...(held.option.notes ?? [])].filter(Boolean);
  held.notes.textContent = notes.join(" · ");
  held.notes.hidden = !notes.length;
  held.canvas.setAttribute("aria-label", [spec.title, spec.label, ...notes].filter(Boolean).join(". "));
}

/**
 * Put a chart's marker somewhere else, without drawing the chart anew.
 * @param {HTMLElement} element
 * @param {import("fedlayers/charting/marker.js").Marker} marker
 */
export function mark(element, marker) {
  const held = charts.get(element);
  if (!held?.drawing) return;
  held.spec = { ...held.spec, marker };
  held.marker = slider(held, marker);
}

/**
 * Draw what is asked for once it is there; meanwhile say that it is on its way, and what went wrong in its place.
 * Only the last question of a place counts.
 * @template T
 * @param {HTMLElement} element
 * @param {Promise<T>} asked
 * @param {(answer: T) => Chart} make
 */
export async function drawn(element, asked, make) {
  const held = charts.get(element) ?? {};
  charts.set(element, held);
  held.asked = asked;
  // What comes at once needs no sign of life.
  const waiting = setTimeout(() => held.asked === asked && working(element), 150);
  try {
    const answer = await asked;
    if (held.asked === asked) chart(element, make(answer));
  } catch (error) {
    if (held.asked === asked) failed(element, error);
  } finally {
    clearTimeout(waiting);
  }
}

/** Say in the place of a chart that it is on its way, and how far. @param {HTMLElement} element */
export function working(element, message = "working…") {
  element.setAttribute("aria-busy", "true");
  told(element, message, "status");
}

/** Say in the place of a chart why it is not there. @param {HTMLElement} element @param {Error | string} error */
export function failed(element, error) {
  cleared(element);
  told(element, error.message ?? String(error), "alert");
}

/** Take a chart, or what stands in its place, away. @param {HTMLElement} element */
export function cleared(element) {
  const held = charts.get(element);
  held?.watching?.disconnect();
  held?.drawing?.dispose();
  charts.delete(element);
  element.removeAttribute("aria-busy");
  delete element.charted;
  element.replaceChildren();
}

/** Note one sentence above whatever a place holds. */
function told(element, message, role) {
  let line = element.querySelector(":scope > .told");
  if (!line) element.prepend((line = part("p", "told")));
  line.setAttribute("role", role);
  line.textContent = message;
}

function part(tag, name) {
  return Object.assign(document.createElement(tag), { className: name });
}

function made(element) {
  const box = part("figure", "chart"), head = part("div", "chart-head"), heading = part("h3", "chart-title");
  const canvas = part("div", "chart-canvas"), said = part("p", "unseen"), notes = part("figcaption", "chart-notes");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  said.setAttribute("aria-live", "polite");
  canvas.style.height = `${heightOf({})}px`;
  head.append(heading);
  box.append(head, canvas, said, notes);
  element.replaceChildren(box);
  const drawing = echarts.init(canvas, theme(), { renderer: "canvas" });
  const held = { element, canvas, heading, said, notes, drawing };
  held.saved = saving(head, held);
  held.watching = new ResizeObserver(() => {
    if (canvas.clientWidth !== drawing.getWidth() || canvas.clientHeight !== drawing.getHeight()) {
      drawing.resize();
      // Its legend may need another number of lines now.
      if (held.option && withLegend(optionOf(held.spec), drawing.getWidth(), canvas).more !== held.more) redraw(held);
      else held.marker?.();
    }
  });
  held.watching.observe(canvas);
  listen(held);
  keys(held, (at) => held.spec.onSelect?.(selected(held, at)));
  charts.set(element, held);
  places.add(new WeakRef(element));
  return held;
}

function redraw(held) {
  const { canvas, drawing, spec } = held, { option, more } = withLegend(optionOf(spec), drawing.getWidth(), canvas);
  [held.option, held.more] = [option, more];
  const height = `${heightOf(spec) + more}px`;
  if (canvas.style.height !== height) {
    canvas.style.height = height;
    drawing.resize();
  }
  held.drawing.setOption({ ...held.option, notes: null }, { replaceMerge: REPLACED });
  held.marker = slider(held, held.spec.marker);
}

/** What of the table an item of a drawn series is. @returns {Selected} */
function selected(held, { seriesIndex, dataIndex }) {
  const series = held.option.series[seriesIndex], item = series?.data?.[dataIndex];
  const value = item?.value ?? item;
  return { row: series?.rows?.[dataIndex], series: series?.name, name: item?.name, value };
}

function listen(held) {
  let caught = [];
  held.drawing.on("click", (event) => {
    if (event.componentType === "series") held.spec.onSelect?.(selected(held, event));
  });
  held.drawing.on("brushSelected", ({ batch }) => {
    caught = (batch[0]?.selected ?? []).flatMap(({ seriesIndex, dataIndex }) => {
      const rows = held.option.series[seriesIndex]?.rows;
      return rows ? dataIndex.map((at) => rows[at]) : [];
    });
  });
  held.drawing.on("brushEnd", () => held.spec.onSelect?.({ rows: caught }));
}
