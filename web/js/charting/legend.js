// A legend of several lines, where the names do not fit into one: nobody turns pages to learn what a colour is.

const LINE_PX = 20, SIGN_PX = 40, EDGES_PX = 10, MOST_LINES = 6;

/**
 * The option with a legend of as many lines as it needs, and how many pixels more than one line that is. A legend of more
 * lines than a chart is high keeps its pages, unless all of it is wanted.
 * @param {object} option of ECharts
 * @param {number} width of the chart, in pixels
 * @param {HTMLElement} canvas whose font the names have
 * @param {{most?: number}} [how]
 * @returns {{option: object, more: number}}
 */
export function withLegend(option, width, canvas, { most = MOST_LINES } = {}) {
  const { legend, grid } = option;
  if (!legend?.show || legend.type !== "scroll") return { option, more: 0 };
  const count = linesOf(legend.data, width, getComputedStyle(canvas).fontFamily);
  if (count > most) return { option, more: 0 };
  const more = (count - 1) * LINE_PX;
  return { option: { ...option, legend: { ...legend, type: "plain" }, grid: { ...grid, bottom: grid.bottom + more } }, more };
}

function linesOf(names, width, family) {
  let lines = 1, used = 0;
  for (const name of names) {
    const own = SIGN_PX + widthOf(String(name), `12px ${family}`);
    if (used && used + own > width - EDGES_PX) [lines, used] = [lines + 1, 0];
    used += own;
  }
  return lines;
}

/** @type {?CanvasRenderingContext2D} */
let pen = null;

/** How many pixels wide a text is. @param {string} text @param {string} font */
export function widthOf(text, font) {
  pen ??= document.createElement("canvas").getContext("2d");
  pen.font = font;
  return pen.measureText(text).width;
}
