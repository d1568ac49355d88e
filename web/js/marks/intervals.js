// Points with their intervals, several side by side at each name.

import { categorical, ink } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { nameAxis, plot, valueAxis } from "fedlayers/marks/axes.js";

const WIDTH = 0.7;

/**
 * The option of points with intervals.
 * @param {{name: string, y: ArrayLike<number>, low: ArrayLike<number>, high: ArrayLike<number>, rows?: ArrayLike<number>}[]} groups
 *   arrays of the length of `names`
 * @param {{along: string, names: string[], label: string, how: "light" | "dark", tip?: (at: number) => string[]}} about
 */
export function intervals(groups, { along, names, label, how, tip }) {
  const xAxis = nameAxis(along, names), several = groups.length > 1;
  return {
    xAxis: { ...xAxis, splitLine: { show: false } }, yAxis: valueAxis(label),
    grid: plot({ bottom: (xAxis.axisLabel.rotate ? xAxis.nameGap + 18 : 46) + (several ? 26 : 0) }),
    legend: { show: several, type: "scroll", bottom: 0, data: groups.map((group) => group.name) },
    tooltip: {
      formatter: ({ seriesName, data: [at, y, low, high] }) => [
        names[at], `${seriesName}: ${short(y)}`, Number.isFinite(low) ? `${short(low)} to ${short(high)}` : "", ...(tip?.(at) ?? []),
      ],
    },
    series: groups.map((group, place) => ({
      type: "custom", name: group.name, rows: group.rows, encode: { x: 0, y: [1, 2, 3] }, itemStyle: { color: categorical(place, how) },
      data: names.map((_, at) => [at, group.y[at], group.low[at], group.high[at]]),
      renderItem: (_, api) => item(api, WIDTH * ((place + 0.5) / groups.length - 0.5), categorical(place, how), ink(how).page),
    })),
  };
}

function item(api, shift, colour, page) {
  const [at, y, low, high] = [0, 1, 2, 3].map((dimension) => api.value(dimension));
  if (!Number.isFinite(y)) return null;
  const x = api.coord([at, y])[0] + shift * api.size([1, 0])[0], on = (value) => api.coord([at, value])[1];
  const stroke = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: colour, lineWidth: 1.6 } });
  const ends = Number.isFinite(low) && Number.isFinite(high)
    ? [stroke(x, on(low), x, on(high)), stroke(x - 4, on(low), x + 4, on(low)), stroke(x - 4, on(high), x + 4, on(high))] : [];
  return { type: "group", children: [...ends, { type: "circle", shape: { cx: x, cy: on(y), r: 5 }, style: { fill: colour, stroke: page, lineWidth: 1 } }] };
}
