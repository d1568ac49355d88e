/** Points in the plane: what surrounds them, how dense they lie, and how they fit into the cells of a small multiple. */

/**
 * Returns the corners of the convex hull of points, against the clock (Andrew 1979, monotone chains).
 * @param {[number, number][]} points @returns {[number, number][]}
 */
export function hull(points) {
  const sorted = [...points].sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  if (sorted.length < 3) return sorted;
  const lower = half(sorted);
  const upper = half(sorted.reverse());
  return [...lower.slice(0, -1), ...upper.slice(0, -1)];
}

/** @param {[number, number][]} points in order */
function half(points) {
  /** @type {[number, number][]} */
  const kept = [];
  for (const point of points) {
    while (kept.length > 1 && !turnsLeft(kept[kept.length - 2], kept[kept.length - 1], point)) kept.pop();
    kept.push(point);
  }
  return kept;
}

function turnsLeft([x, y], [nextX, nextY], [lastX, lastY]) {
  return (nextX - x) * (lastY - y) - (nextY - y) * (lastX - x) > 0;
}

/**
 * Returns how to place points into the unit square: both axes from lowest to highest value, with a margin.
 * @param {ArrayLike<number>} x @param {ArrayLike<number>} y @param {number} [margin] of the square's side
 * @returns {{x: Float64Array, y: Float64Array}} in 0 … 1
 */
export function unit(x, y, margin = 0.06) {
  const along = (values) => {
    const [low, high] = ends(values);
    const width = high > low ? high - low : 1;
    return Float64Array.from(values, (value) => margin + ((1 - 2 * margin) * (value - low)) / width);
  };
  return { x: along(x), y: along(y) };
}

/** @type {WeakMap<any, {x: Float64Array, y: Float64Array}>} */
const placed = new WeakMap();

/** Returns records in the unit square by their first two scores, the same object for the same answer. @param {any} scores */
export function unitOf(scores) {
  const found = placed.get(scores) ?? unit(scores.columns.c1, scores.columns.c2 ?? new Float64Array(scores.length));
  placed.set(scores, found);
  return found;
}

/**
 * Returns how many points lie in each of `bins` × `bins` cells of the unit square, row after row from below.
 * @param {{x: Float64Array, y: Float64Array}} points @param {number} bins @param {(row: number) => boolean} [counts]
 */
export function density({ x, y }, bins, counts = () => true) {
  const found = new Float64Array(bins * bins);
  const place = (value) => Math.min(Math.max(Math.floor(value * bins), 0), bins - 1);
  for (let row = 0; row < x.length; row += 1) if (counts(row)) found[place(y[row]) * bins + place(x[row])] += 1;
  return found;
}

/** Returns the lowest and the highest finite value, [0, 1] where there is none. @param {ArrayLike<number>} values @returns {[number, number]} */
export function ends(values) {
  let [low, high] = [Infinity, -Infinity];
  for (let at = 0; at < values.length; at += 1) {
    if (!Number.isFinite(values[at])) continue;
    low = Math.min(low, values[at]);
    high = Math.max(high, values[at]);
  }
  return low <= high ? [low, high] : [0, 1];
}

/**
 * Returns how many values lie in each of `count` intervals of the same width, and where these end.
 * @param {ArrayLike<number>} values @param {[number, number]} ends @param {number} count @param {Iterable<number>} rows
 */
export function histogram(values, [low, high], count, rows) {
  const width = (high > low ? high - low : 1) / count;
  const heights = new Float64Array(count);
  for (const row of rows) {
    if (values[row] >= low && values[row] <= high) heights[Math.min(Math.floor((values[row] - low) / width), count - 1)] += 1;
  }
  return { heights, edges: Float64Array.from({ length: count + 1 }, (_, at) => low + at * width) };
}
