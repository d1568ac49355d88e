// A line across a plot that can be dragged to a place on its x axis.

import { ink } from "fedlayers/colours.js";

/**
 * @typedef {object} Marker
 * @property {number} at where it stands on the x axis
 * @property {number[]} places where it can stand, ascending
 * @property {string} label what it is, such as "round"
 * @property {(place: number) => void} onMove
 */

/**
 * Draw the line, or take it away if there is none. It lies above the chart and is none of its parts, which all are drawn
 * anew whenever one of them changes: so that it moves at once.
 * @param {object} held a chart of fedlayers/chart.js
 * @param {Marker | undefined} marker
 * @returns {() => void} puts it where it belongs, after the plot has changed its size
 */
export function slider(held, marker) {
  const isThere = Boolean(marker?.places.length);
  if (isThere) held.line ??= lined(held);
  else if (held.line) held.drawing.getZr().remove(held.line.group);
  if (!isThere) delete held.line;
  const put = () => held.line?.put(held.spec.marker);
  put();
  return put;
}

function lined(held) {
  const { drawing } = held, { Group, Line, Rect, Text } = echarts.graphic;
  const group = new Group({ draggable: "horizontal", cursor: "ew-resize" });
  // On a canvas of its own (zlevel): the chart below is not painted once more whenever the line is put somewhere.
  const handle = new Rect({ style: { fill: "transparent" }, z: 100, zlevel: 2, cursor: "ew-resize" });
  const line = new Line({ style: { lineWidth: 1.5, lineDash: [4, 3] }, z: 100, zlevel: 2, silent: true });
  const text = new Text({ style: { padding: [2, 4], borderRadius: 3, align: "center", verticalAlign: "bottom", fontSize: 11 }, z: 101, zlevel: 2, silent: true });
  for (const part of [handle, line, text]) group.add(part);
  drawing.getZr().add(group);
  const nearest = () => {
    const value = drawing.convertFromPixel({ xAxisIndex: 0 }, group.x);
    return held.spec.marker.places.reduce((best, place) => Math.abs(place - value) < Math.abs(best - value) ? place : best);
  };
  const say = (place) => {
    text.setStyle("text", `${held.spec.marker.label} ${place}`);
    // At the last round, too, all of it can be read.
    const half = text.getBoundingRect().width / 2, right = drawing.getWidth() - half - group.x;
    text.attr("x", Math.max(half - group.x, Math.min(0, right)));
  };
  const put = (marker) => {
    const { x, y, width, height } = drawing.getModel().getComponent("grid").coordinateSystem.getRect(), { text: shade, panel } = ink();
    group.attr("x", Math.min(Math.max(drawing.convertToPixel({ xAxisIndex: 0 }, marker.at), x), x + width));
    handle.setShape({ x: -7, y, width: 14, height });
    line.attr({ shape: { x1: 0, x2: 0, y1: y, y2: y + height }, style: { stroke: shade } });
    text.attr({ y: y - 3, style: { fill: shade, backgroundColor: panel } });
    say(marker.at);
  };
  group.on("drag", () => say(nearest()));
  // Where it is let go, the nearest place is taken.
  group.on("dragend", () => {
    const { marker } = held.spec, place = nearest();
    if (place === marker.at) put(marker);
    else marker.onMove(place);
  });
  return { group, put };
}
