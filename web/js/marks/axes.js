// Axes: of numbers on the scale that Python chose, of rounds, of names.

import { short } from "fedlayers/html.js";
import { isRound, placing, shortened, tick } from "fedlayers/numbers.js";

/**
 * An axis of values.
 * @param {string} name what they are, with the unit
 * @param {import("fedlayers/numbers.js").Scale} [scale]
 */
export function valueAxis(name, scale) {
  const axis = { type: scale?.kind === "log" ? "log" : "value", name, nameLocation: "middle", nameGap: 48, scale: true };
  const { from } = placing(scale), isBoth = scale?.kind === "symlog";
  // What stands at a multiple of a threshold is no round number.
  axis.axisLabel = { formatter: (place) => (isBoth ? short(from(place), 3) : tick(place)), hideOverlap: true };
  if (scale?.ends) {
    [axis.min, axis.max] = scale.ends;
    // Where an axis ends as the values do, its ends are no ticks.
    [axis.axisLabel.showMinLabel, axis.axisLabel.showMaxLabel] = scale.ends.map(isRound);
  }
  if (isBoth) axis.minInterval = 1;
  return axis;
}

/** An axis of whole numbers, such as rounds. @param {string} name */
export function countAxis(name) {
  return { type: "value", name, nameLocation: "middle", nameGap: 26, minInterval: 1, scale: true, splitLine: { show: false } };
}

/** An axis of names, such as layers, the ends of long ones shown. @param {string} name @param {string[]} names */
export function nameAxis(name, names, { gap = 26, length = 18 } = {}) {
  const longest = Math.max(0, ...names.map((one) => Math.min(one.length, length)));
  const turned = names.length * longest > 90 ? 45 : 0;
  return {
    type: "category", data: names, name, nameLocation: "middle", nameGap: gap + (turned ? 4.2 * longest : 0),
    axisLabel: { formatter: (one) => shortened(one, length), rotate: turned, hideOverlap: true }, axisTick: { alignWithLabel: true },
  };
}

/** Room around a plot for its axes, in pixels. */
export const plot = (more = {}) => ({ left: 66, right: 18, top: 30, bottom: 46, ...more });
