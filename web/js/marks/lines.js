// Lines along rounds, layers or depth, with bands or error bars.

import { categorical, known, shown } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { countAxis, nameAxis, plot, valueAxis } from "fedlayers/marks/axes.js";
import { coinciding, equals, told } from "fedlayers/marks/coinciding.js";
import { faint } from "fedlayers/marks/faint.js";
import { placing } from "fedlayers/numbers.js";

/** By how much a line is wider for each line that lies over it, and for how many: wider ones would cover what else is drawn. */
const WIDER_PX = 3.5, MOST_WIDER = 3;

/**
 * One line; arrays are of one length.
 * @typedef {object} Line
 * @property {string} name
 * @property {ArrayLike<number>} x places on the axis, ascending: rounds, or numbers of names
 * @property {ArrayLike<number>} y values, NaN for a gap
 * @property {ArrayLike<number>} [low] lower end of the band
 * @property {ArrayLike<number>} [high] upper end of the band
 * @property {ArrayLike<number>} [stderr] standard errors, drawn as bars
 * @property {ArrayLike<number>} [rows] rows of the table
 * @property {string} [kind] a moment, `server` or a tier, whose colour it gets
 * @property {string} [colour] of the figures' colours, if it has no kind
 * @property {"solid" | "dashed" | "dotted"} [style]
 * @property {boolean} [faint] one of many, see fedlayers/marks/faint.js
 */

/**
 * The option of a chart of lines.
 * @param {Line[]} lines
 * @param {{along: string, names?: string[], label: string, scale?: import("fedlayers/numbers.js").Scale, how: "light" | "dark",
 *   level?: {value: number, name: string}, legend?: boolean}} about the x axis and the names of its places, label and scale of
 *   the y axis, a value that means something, such as chance, and whether lines are named below
 */
export function lines(lines, { along, names, label, scale, how, level, legend = true }) {
  const place = placing(scale), shaded = lines.map((line, at) => ({ ...line, shade: shadeOf(line, at, how) }));
  const all = shaded.filter((line) => !line.faint), thin = shaded.filter((line) => line.faint), named = legend ? all.map((line) => line.name) : [];
  const { depths, sets } = coinciding(all, scale?.kind === "log" ? Math.log10 : place.to, scale?.ends);
  // Curves first: a legend shows the sign of the first series of a name.
  const series = all.map((line, at) => curve(line, place, Math.min(depths[at], MOST_WIDER)));
  if (level && series.length) series[0].markLine = levelled(level, place);
  const xAxis = names ? nameAxis(along, names) : countAxis(along);
  const turned = xAxis.axisLabel?.rotate ? xAxis.nameGap + 18 : 46;
  return {
    xAxis, yAxis: valueAxis(label, scale),
    series: [
      ...series, ...all.filter((line) => line.low).map((line) => band(line, place)),
      ...all.filter((line) => line.stderr).map((line) => bars(line, place)), ...faint(thin, place),
    ],
    notes: told(sets, equals(thin)),
    grid: plot({ bottom: turned + (named.length > 1 ? 26 : 0) }),
    legend: { show: named.length > 1, type: "scroll", bottom: 0, data: [...new Set(named)] },
    tooltip: {
      formatter: ({ seriesName, data }) => {
        const line = all.find((one) => one.name === seriesName), at = data?.at;
        if (at === undefined) return "";
        const where = names ? `${along} ${names[line.x[at]]}` : `${along} ${line.x[at]}`;
        const alike = (sets.find((names) => names.includes(seriesName)) ?? []).filter((name) => name !== seriesName);
        return [where, `${seriesName}: ${short(line.y[at])}`, spread(line, at), alike.length ? `coincides with ${alike.join(", ")}` : ""];
      },
    },
  };
}

function shadeOf(line, at, how) {
  return (line.kind && known(line.kind, how)) || (line.colour && shown(line.colour, how)) || categorical(at, how);
}

function spread(line, at) {
  if (line.low) return `${short(line.low[at])} to ${short(line.high[at])}`;
  return Number.isFinite(line.stderr?.[at]) ? `± ${short(line.stderr[at])} (standard error)` : "";
}

function curve(line, place, below) {
  return {
    type: "line", name: line.name, rows: line.rows, z: 3, connectNulls: false,
    data: Array.from(line.x, (x, at) => ({ value: [x, Number.isFinite(line.y[at]) ? place.to(line.y[at]) : null], at })),
    showSymbol: line.x.length <= 60, symbol: "circle", symbolSize: 6 + WIDER_PX * below, triggerLineEvent: true,
    // Paler, so that a thin line of the same colour is seen on it.
    lineStyle: { color: line.shade, width: 2 + WIDER_PX * below, type: line.style ?? "solid", opacity: below ? 0.5 : 1 },
    itemStyle: { color: line.shade, opacity: below ? 0.5 : 1 }, emphasis: { focus: "none", lineStyle: { width: 3 + WIDER_PX * below } },
  };
}

// Stretches of a line without a gap.
function unbroken(line, place) {
  const found = [[]];
  Array.from(line.x, (x, at) => {
    if (Number.isFinite(line.low[at]) && Number.isFinite(line.high[at])) found.at(-1).push([x, place.to(line.low[at]), place.to(line.high[at])]);
    else if (found.at(-1).length) found.push([]);
  });
  return found.filter((stretch) => stretch.length);
}

function band(line, place) {
  const stretches = unbroken(line, place);
  return {
    // Of the line's name, so that the legend takes both away; one item a stretch would not reach the axis' ends.
    type: "custom", name: line.name, silent: true, z: 1, color: line.shade, itemStyle: { color: line.shade },
    encode: { x: 0, y: [1, 2] }, data: stretches.flat(), tooltip: { show: false },
    renderItem: ({ dataIndexInside }, api) => dataIndexInside > 0 ? null : {
      type: "group",
      children: stretches.map((stretch) => ({
        type: "polygon", silent: true,
        shape: { points: [...stretch.map(([x, low]) => api.coord([x, low])), ...stretch.toReversed().map(([x, , high]) => api.coord([x, high]))] },
        style: { fill: line.shade, opacity: 0.2 },
      })),
    },
  };
}

function bars(line, place) {
  const known = Array.from(line.x, (x, at) => [x, line.y[at] - line.stderr[at], line.y[at] + line.stderr[at]]);
  return {
    type: "custom", name: line.name, silent: true, z: 2, itemStyle: { color: line.shade }, encode: { x: 0, y: [1, 2] },
    data: known.filter(([, low]) => Number.isFinite(low)).map(([x, low, high]) => [x, place.to(low), place.to(high)]),
    tooltip: { show: false },
    renderItem: (_, api) => {
      const [x, low] = api.coord([api.value(0), api.value(1)]), [, high] = api.coord([api.value(0), api.value(2)]);
      const stroke = { stroke: line.shade, lineWidth: 1.2 };
      const line_ = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: stroke });
      return { type: "group", children: [line_(x, low, x, high), line_(x - 3, low, x + 3, low), line_(x - 3, high, x + 3, high)] };
    },
  };
}

function levelled({ value, name }, place) {
  return {
    silent: true, symbol: "none", lineStyle: { type: "dotted", color: "#888888" }, label: { formatter: name, position: "insideEndTop", color: "#888888", textBorderWidth: 0 },
    data: [{ yAxis: place.to(value) }],
  };
}
