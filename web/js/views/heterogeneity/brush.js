/** What a rectangle or a lasso catches: of thousands of points, faster than the chart library's own look at each. */

/** @type {WeakMap<any, (areas: any[]) => void>} what is told of a chart's brush */
const told = new WeakMap();

/** Returns ECharts' drawing in a place that `chart` drew. @param {HTMLElement} place */
export function drawingOf(place) {
  const canvas = place.querySelector(".chart-canvas");
  return canvas ? echarts.getInstanceByDom(canvas) : undefined;
}

/** Calls back with the areas that were drawn in a chart. @param {HTMLElement} place @param {(areas: any[]) => void} listener */
export function onBrush(place, listener) {
  const drawing = drawingOf(place);
  if (!told.has(drawing)) drawing.on("brushEnd", ({ areas }) => areas.length && told.get(drawing)(areas));
  told.set(drawing, listener);
}

/** Takes the areas away: what they caught is shown otherwise. @param {HTMLElement} place */
export function unbrushed(place) {
  drawingOf(place).dispatchAction({ type: "brush", areas: [] });
}

/**
 * Returns which points lie in one of the areas.
 * @param {{brushType: string, coordRange: any}[]} areas @param {ArrayLike<number>} x @param {ArrayLike<number>} y
 */
export function caught(areas, x, y) {
  const rows = [];
  for (let row = 0; row < x.length; row += 1) {
    if (areas.some((area) => holds(area, x[row], y[row]))) rows.push(row);
  }
  return rows;
}

function holds({ brushType, coordRange }, x, y) {
  if (brushType === "polygon") return isInside(coordRange, x, y);
  const [across, up] = brushType === "rect" ? coordRange : [coordRange, [-Infinity, Infinity]];
  return x >= across[0] && x <= across[1] && y >= up[0] && y <= up[1];
}

/** Whether an odd number of the polygon's sides lies to the right of a point. @param {[number, number][]} corners */
export function isInside(corners, x, y) {
  let inside = false;
  for (let at = 0, last = corners.length - 1; at < corners.length; last = at, at += 1) {
    const [[x1, y1], [x2, y2]] = [corners[at], corners[last]];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  }
  return inside;
}
