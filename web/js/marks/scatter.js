// Scatters of records, clients or rounds; a brush or a lasso selects from them.

import { categorical, ink, shown } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { plot, valueAxis } from "fedlayers/marks/axes.js";

const SYMBOLS = ["circle", "triangle", "rect", "diamond", "pin", "arrow", "roundRect"];

/**
 * The option of a scatter: a group has a colour and a symbol.
 * @param {object} about
 * @param {ArrayLike<number>} about.x
 * @param {ArrayLike<number>} about.y
 * @param {ArrayLike<string> | null} [about.group] of each point the name of its group
 * @param {string[]} [about.groups] the groups in the order of the legend
 * @param {Record<string, string>} [about.colours] group -> one of the figures' colours
 * @param {[string, string]} about.labels of both axes
 * @param {Set<number> | null} [about.selected] rows that stand out; null if none was selected
 * @param {(row: number) => string[]} [about.tip] lines about a row
 * @param {boolean} [about.brush] whether points can be caught with a rectangle or a lasso
 * @param {boolean} [about.zoom] whether the wheel zooms
 * @param {"light" | "dark"} about.how
 */
export function scatter(about) {
  const { labels, how, x, y } = about, groups = about.groups ?? [...new Set(about.group ?? [""])];
  const rowsOf = new Map(groups.map((name) => [name, []]));
  for (let row = 0; row < x.length; row += 1) {
    if (Number.isFinite(x[row]) && Number.isFinite(y[row])) rowsOf.get(about.group ? about.group[row] : groups[0])?.push(row);
  }
  const several = groups.length > 1;
  return {
    xAxis: { ...valueAxis(labels[0]), nameGap: 26, splitLine: { show: false } }, yAxis: valueAxis(labels[1]),
    grid: plot({ bottom: several ? 72 : 46 }),
    legend: { show: several, type: "scroll", bottom: 0, data: groups },
    tooltip: {
      formatter: ({ seriesIndex, dataIndex }) => {
        const row = rowsOf.get(groups[seriesIndex])?.[dataIndex];
        return about.tip?.(row) ?? [groups[seriesIndex], `${labels[0]}: ${short(x[row])}`, `${labels[1]}: ${short(y[row])}`];
      },
    },
    series: groups.map((name, at) => points(name, rowsOf.get(name), about, {
      colour: about.colours?.[name] ? shown(about.colours[name], how) : categorical(at, how), symbol: SYMBOLS[at % SYMBOLS.length],
    })),
    ...(about.brush ? brushing(how) : {}),
    ...(about.zoom ? { dataZoom: [0, 1].map((axis) => ({ type: "inside", [axis ? "yAxisIndex" : "xAxisIndex"]: 0, filterMode: "none" })) } : {}),
  };
}

function points(name, rows, { x, y, selected }, { colour, symbol }) {
  // Points that were not selected step back; those that were lie above them.
  const faded = { itemStyle: { opacity: 0.12 } };
  return {
    type: "scatter", name, rows, symbol, symbolSize: rows.length > 1500 ? 4 : rows.length > 200 ? 6 : 9, progressive: 0,
    itemStyle: { color: colour, opacity: rows.length > 1500 ? 0.65 : 0.85 }, emphasis: { scale: 1.8 },
    data: rows.map((row) => selected && !selected.has(row) ? { value: [x[row], y[row]], ...faded } : [x[row], y[row]]),
  };
}

function brushing(how) {
  const { soft } = ink(how);
  return {
    brush: {
      toolbox: ["rect", "polygon", "clear"], xAxisIndex: 0,
      brushStyle: { borderColor: soft, color: "rgba(128,128,128,0.15)" }, outOfBrush: {},
    },
    toolbox: {
      right: 4, top: 0, itemSize: 14,
      feature: { brush: { type: ["rect", "polygon", "clear"], title: { rect: "select a rectangle", polygon: "select with a lasso", clear: "select nothing" } } },
    },
  };
}
