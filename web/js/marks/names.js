// Names beside points, each where it covers no other: a series of its own, since where there is room is known in pixels.

import { ink } from "fedlayers/colours.js";
import { widthOf } from "fedlayers/charting/legend.js";

const SIZE_PX = 10, GAP_PX = 5;

/**
 * The series. A name for which there is no room on any side is left out: pointing at its point tells it.
 * @param {{at: [number, number], name: string}[]} points in data coordinates
 * @param {number} size of the points' symbols, in pixels
 * @param {"light" | "dark"} how
 */
export function names(points, size, how) {
  /** @type {(?{x: number, y: number})[]} */
  let places = [];
  return {
    type: "custom", name: "names", silent: true, z: 5, encode: { x: 0, y: 1 }, tooltip: { show: false }, data: points.map(({ at }) => at),
    renderItem: ({ dataIndexInside: index, coordSys }, api) => {
      if (index === 0) places = placed(points.map(({ at }) => api.coord(at)), points.map(({ name }) => name), size, coordSys);
      const place = places[index];
      return place && { type: "text", silent: true, style: { text: points[index].name, x: place.x, y: place.y, fill: ink(how).text, fontSize: SIZE_PX, align: "left", verticalAlign: "top" } };
    },
  };
}

/** The left upper corner of each name, null where there is no room. */
function placed(spots, texts, size, { x, y, width, height }) {
  const radius = size / 2, taken = spots.map(([left, top]) => [left - radius, top - radius, left + radius, top + radius]);
  const inside = ([left, top, right, bottom]) => left >= x - GAP_PX && top >= y - SIZE_PX && right <= x + width + SIZE_PX && bottom <= y + height;
  return spots.map(([middle, level], at) => {
    const wide = widthOf(texts[at], `${SIZE_PX}px sans-serif`), away = radius + GAP_PX, up = level - SIZE_PX / 2;
    const corners = [[middle + away, up], [middle - away - wide, up], [middle - wide / 2, level - away - SIZE_PX], [middle - wide / 2, level + away]];
    const boxes = corners.map(([left, top]) => [left, top, left + wide, top + SIZE_PX]);
    const isAnothers = (box) => spots.some((spot, other) => other !== at && gap(box, spot) < radius + 2 * GAP_PX);
    const free = boxes.find((box) => inside(box) && !taken.some((other) => overlap(box, other)) && !isAnothers(box));
    if (free) taken.push(free);
    return free ? { x: free[0], y: free[1] } : null;
  });
}

/** How far a box is from a point: a name beside two points would be taken for that of either. */
const gap = ([left, top, right, bottom], [x, y]) => Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));

const overlap = (one, other) => one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];
