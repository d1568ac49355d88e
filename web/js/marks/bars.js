// Bars along rounds or names, stacked.

import { categorical } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { countAxis, nameAxis, plot, valueAxis } from "fedlayers/marks/axes.js";

/**
 * The option of stacked bars.
 * @param {{name: string, x: ArrayLike<number>, y: ArrayLike<number>, colour: number, tip?: (x: number) => string[]}[]} parts of each
 *   bar, from below; `colour` counts in the figures' palette
 * @param {{along: string, names?: string[], label: string, how: "light" | "dark"}} about as for lines
 */
export function bars(parts, { along, names, label, how }) {
  const several = parts.length > 1;
  return {
    xAxis: names ? nameAxis(along, names) : { ...countAxis(along), min: ({ min }) => min - 0.5, max: ({ max }) => max + 0.5, axisTick: { show: false }, axisLabel: { formatter: (at) => Number.isInteger(at) ? at : "", hideOverlap: true } },
    yAxis: { ...valueAxis(label), scale: false, min: 0, minInterval: 1 },
    grid: plot({ bottom: 46 + (several ? 26 : 0) }),
    legend: { show: several, bottom: 0, data: parts.map((part) => part.name) },
    tooltip: {
      formatter: ({ seriesName, data }) => {
        const part = parts.find((one) => one.name === seriesName), [x, y] = data;
        return [`${along} ${names ? names[x] : x}`, `${seriesName}: ${short(y)}`, ...(part?.tip?.(x) ?? [])];
      },
    },
    series: parts.map((part) => ({
      type: "bar", name: part.name, stack: "all", barMaxWidth: 28, itemStyle: { color: categorical(part.colour, how) },
      data: Array.from(part.x, (x, at) => [x, part.y[at]]), rows: Array.from(part.x, (_, at) => at),
    })),
  };
}
