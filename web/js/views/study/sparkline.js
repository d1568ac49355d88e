/** A curve in a line of a table. */

// The name of a kind of element, from which nothing is loaded.
const NAMESPACE = "http://www.w3.org/2000/svg";
const WIDE = 110, HIGH = 22, ROOM = 2;

/** Returns a small curve of values over rounds; an empty place where there are none. @param {?{x: number[], y: number[]}} points */
export function sparkline(points) {
  const svg = document.createElementNS(NAMESPACE, "svg");
  svg.setAttribute("class", "sparkline");
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.setAttribute("aria-hidden", "true");
  if (!points?.x.length) return svg;
  const { x, y } = points;
  const across = scale(x, ROOM, WIDE - ROOM), up = scale(y, HIGH - ROOM, ROOM);
  const line = document.createElementNS(NAMESPACE, "polyline");
  line.setAttribute("points", x.map((at, place) => `${across(at).toFixed(1)},${up(y[place]).toFixed(1)}`).join(" "));
  svg.append(line);
  return svg;
}

function scale(values, from, to) {
  const low = Math.min(...values), span = Math.max(...values) - low;
  return (value) => (span ? from + ((value - low) / span) * (to - from) : (from + to) / 2);
}
