// Heat maps: metric or layer by client or layer, and matrices between clients.

import { ink, mixed, readableOn, SEQUENTIAL } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { nameAxis } from "fedlayers/marks/axes.js";
import { placing, shortened } from "fedlayers/numbers.js";

const MOST_NUMBERED = 240, LETTER_PX = 6.6, LONGEST = 22;
/** On a page as narrow as a telephone's, cells show numbers only where these have room; beside a map is its scale. */
const NARROW_PX = 600, NUMBER_PX = 32, BESIDE_PX = 96, MARGINS_PX = 40;

/**
 * The option of a heat map. Cells without a value are grey.
 * @param {object} about
 * @param {string[]} about.columns names along the x axis
 * @param {string[]} about.rows names along the y axis, the first on top
 * @param {ArrayLike<number>} about.x of each value the number of its column
 * @param {ArrayLike<number>} about.y of each value the number of its row
 * @param {ArrayLike<number>} about.values NaN where there is none
 * @param {[number, number]} about.limits the values at the ends of the colours
 * @param {boolean} [about.logarithmic] whether the colours are by decades
 * @param {number | null} [about.threshold] up to which size colours are linear where they are by decades on both sides of 0
 * @param {string[]} [about.colours] SEQUENTIAL or DIVERGING
 * @param {boolean} [about.darkIsLow] whether low values are dark, as where 0 says that things are alike
 * @param {string} about.label what the values are, with the unit
 * @param {string} about.across what columns are
 * @param {string} about.down what rows are
 * @param {(at: number) => string[]} [about.tip] more lines about the k-th value
 * @param {ArrayLike<number>} [about.ids] rows of the table
 * @param {"light" | "dark"} about.how
 */
export function heatMap(about) {
  const { columns, rows, limits, across, down, how } = about, { to, back } = coloured(about);
  const colours = about.darkIsLow ? (about.colours ?? SEQUENTIAL).toReversed() : about.colours ?? SEQUENTIAL;
  const [low, high] = limits.map(to);
  const left = 40 + LETTER_PX * Math.min(LONGEST, Math.max(1, ...rows.map((name) => name.length)));
  const isWide = innerWidth >= NARROW_PX || columns.length * NUMBER_PX <= innerWidth - left - BESIDE_PX - MARGINS_PX;
  const numbered = about.values.length <= MOST_NUMBERED && isWide;
  const xAxis = nameAxis(across, columns, { length: LONGEST }), { empty } = ink(how);
  return {
    xAxis, yAxis: { ...nameAxis(down, rows), inverse: true, nameGap: left - 18, axisLabel: { formatter: (name) => shortened(name, LONGEST) } },
    grid: { left, right: BESIDE_PX, top: 12, bottom: xAxis.nameGap + 20, show: true, backgroundColor: empty, borderWidth: 0 },
    legend: { show: false },
    visualMap: scaleOfColours(low, high, colours, back, about.label),
    tooltip: {
      formatter: ({ data }) => [
        `${down} ${rows[data.value[1]]}, ${across} ${columns[data.value[0]]}`.trim(),
        `${about.label}: ${short(about.values[data.at])}`,
        ...(about.tip?.(data.at) ?? []),
      ],
    },
    series: [{
      type: "heatmap", name: about.label, progressive: 0, ...cells(about, to, [low, high], colours),
      label: { show: numbered, fontSize: 10, formatter: ({ data }) => short(about.values[data.at], about.values.length > 60 ? 2 : 3) },
      itemStyle: { borderWidth: 0 }, emphasis: { itemStyle: { borderColor: how === "dark" ? "#ffffff" : "#000000", borderWidth: 2 } },
    }],
  };
}

function cells({ x, y, values, ids }, to, [low, high], colours) {
  const data = [], rows = [];
  for (let at = 0; at < values.length; at += 1) {
    if (!Number.isFinite(values[at])) continue;
    const shown = to(values[at]), colour = mixed(colours, high > low ? (shown - low) / (high - low) : 0.5);
    data.push({ value: [x[at], y[at], shown], at, label: { color: readableOn(colour) } });
    rows.push(ids ? ids[at] : at);
  }
  return { data, rows };
}

/** Where a value lies among the colours, beyond their ends at the end, and the way back. */
function coloured({ limits: [low, high], logarithmic, threshold }) {
  const place = placing(threshold ? { kind: "symlog", threshold } : undefined);
  return {
    to: (value) => { const inside = Math.min(Math.max(value, low), high); return logarithmic ? Math.log10(inside) : place.to(inside); },
    back: logarithmic ? (at) => 10 ** at : place.from,
  };
}

function scaleOfColours(low, high, colours, back, label) {
  // A scale without a width shows its one value in the middle.
  const [min, max] = high > low ? [low, high] : [low - 0.5, high + 0.5];
  return {
    type: "continuous", min, max, dimension: 2, calculable: true, right: 4, top: "middle", itemHeight: 130, itemWidth: 12,
    inRange: { color: colours }, formatter: (value) => short(back(high > low ? value : low), 3), precision: 6,
    ariaLabel: label,
  };
}
