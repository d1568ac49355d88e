// Many thin lines behind those that matter, such as one a client: a single series, whose items are the lines.

import { short } from "fedlayers/html.js";

/** The name of the series. */
export const FAINT = "one by one";

/**
 * The series, or none if there are no such lines: a series for each would take longer to draw than all else.
 * @param {(import("fedlayers/marks/lines.js").Line & {shade: string})[]} lines
 * @param {{to: (value: number) => number}} place on the y axis
 */
export function faint(lines, place) {
  if (!lines.length) return [];
  const drawn = lines.map((line) => stretches(line, place));
  return [{
    type: "custom", name: FAINT, z: 2, encode: { x: [0, 1], y: [2, 3] },
    // Which row stands for a line: its last.
    rows: lines.map((line) => line.rows?.[line.rows.length - 1]),
    data: drawn.map((parts, line) => ({ value: corners(parts.flat()), line })),
    renderItem: ({ dataIndex }, api) => ({
      type: "group",
      children: drawn[dataIndex].map((stretch) => ({
        type: "polyline", shape: { points: stretch.map((at) => api.coord(at)) },
        style: { stroke: lines[dataIndex].shade, fill: null, lineWidth: 1, opacity: 0.55, lineDash: DASHES[lines[dataIndex].style] },
        emphasis: { style: { lineWidth: 2.5, opacity: 1 } },
      })),
    }),
    tooltip: { formatter: ({ data }) => told(lines[data.line]) },
  }];
}

const DASHES = { dashed: [5, 4], dotted: [1.5, 3] };

function told(line) {
  const last = line.y.length - 1;
  return [line.name, `${short(line.y[0])} at first, ${short(line.y[last])} at last`];
}

/** Points without a gap between them. */
function stretches(line, place) {
  const found = [[]];
  Array.from(line.x, (x, at) => {
    if (Number.isFinite(line.y[at])) found.at(-1).push([x, place.to(line.y[at])]);
    else if (found.at(-1).length) found.push([]);
  });
  return found.filter((stretch) => stretch.length);
}

/** The lowest and highest x and y, for the axes. */
function corners(points) {
  if (!points.length) return [NaN, NaN, NaN, NaN];
  const [x, y] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
}
