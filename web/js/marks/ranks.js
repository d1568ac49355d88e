// Mean ranks, and bars beside those that cannot be told apart: Demšar's critical-difference diagram, a line for each name.

import { categorical, ink } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { nameAxis } from "fedlayers/marks/axes.js";

const LETTER_PX = 6.6, STEP_PX = 16;

/**
 * The option of a diagram of ranks.
 * @param {{names: string[], ranks: number[], alike: string[][], label: string, rows: number[], how: "light" | "dark"}} about the best
 *   first; `alike` are names that are not critically far apart
 */
export function ranked({ names, ranks, alike, label, rows, how }) {
  const left = 30 + LETTER_PX * Math.min(30, Math.max(...names.map((name) => name.length)));
  const { text } = ink(how), whole = names.map((_, at) => at + 1);
  return {
    xAxis: {
      type: "value", name: label, nameLocation: "middle", nameGap: 26, min: 0.7, max: names.length + 0.3, splitLine: { show: false },
      axisLabel: { customValues: whole }, axisTick: { customValues: whole },
    },
    yAxis: { ...nameAxis("", names, { length: 30 }), inverse: true, axisLabel: { rotate: 0 } },
    grid: { left, right: 24 + STEP_PX * alike.length, top: 12, bottom: 46 },
    legend: { show: false },
    tooltip: { formatter: ({ seriesIndex, dataIndex }) => (seriesIndex ? `${alike[dataIndex].join(", ")} cannot be told apart` : [names[dataIndex], `mean rank ${short(ranks[dataIndex])}`]) },
    series: [
      {
        type: "scatter", name: "mean rank", rows, symbolSize: 12, itemStyle: { color: categorical(0, how) },
        data: names.map((_, at) => [ranks[at], at]),
        label: { show: true, position: "top", formatter: ({ dataIndex }) => short(ranks[dataIndex], 3), color: text, fontSize: 11 },
      },
      {
        type: "custom", name: "cannot be told apart", encode: { y: [0, 1] }, data: alike.map((group) => [names.indexOf(group[0]), names.indexOf(group.at(-1))]),
        renderItem: ({ coordSys, dataIndex }, api) => {
          const x = coordSys.x + coordSys.width + STEP_PX * (dataIndex + 0.8), on = (row) => api.coord([1, row])[1];
          return { type: "line", shape: { x1: x, x2: x, y1: on(api.value(0)) - 6, y2: on(api.value(1)) + 6 }, style: { stroke: categorical(1, how), lineWidth: 5 } };
        },
      },
    ],
  };
}
