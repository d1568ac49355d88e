/**
 * Small multiples in one chart: columns × rows of cells, each of which holds pictures, points or outlines in a square of
 * its own from (0, 0) at its lower left to (1, 1).
 */

/** Room between cells, a share of a cell. */
export const GAP = 0.06;

/**
 * Returns the axes of so many cells; the first row is on top.
 * @param {number} columns @param {number} rows @param {{x?: any, y?: any, grid?: any}} [more]
 */
export function axes(columns, rows, more = {}) {
  const hidden = { type: "value", axisLabel: { show: false }, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false } };
  return {
    xAxis: { ...hidden, min: 0, max: columns, interval: 1, ...more.x },
    yAxis: { ...hidden, min: 0, max: rows, interval: 1, inverse: true, ...more.y },
    grid: { left: 6, right: 6, top: 6, bottom: 6, ...more.grid },
  };
}

/** Returns where a point of a cell's own square lies on the axes. */
export function placed(column, row, x, y) {
  return [column + GAP / 2 + (1 - GAP) * x, row + 1 - GAP / 2 - (1 - GAP) * y];
}

/** Returns the rectangle of a cell in pixels. @param {any} api ECharts' @param {number} column @param {number} row @param {number} [head] room for words above, in pixels */
export function box(api, column, row, head = 0) {
  const [left, top] = api.coord(placed(column, row, 0, 1));
  const [right, bottom] = api.coord(placed(column, row, 1, 0));
  return { x: left, y: top + head, width: right - left, height: Math.max(bottom - top - head, 1) };
}

/** Returns the largest rectangle of a picture's proportions within another one, in its middle. */
export function contained({ x, y, width, height }, pictureWidth, pictureHeight) {
  const scale = Math.min(width / pictureWidth, height / pictureHeight);
  const [wide, high] = [scale * pictureWidth, scale * pictureHeight];
  return { x: x + (width - wide) / 2, y: y + (height - high) / 2, width: wide, height: high };
}
