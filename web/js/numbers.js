// Where numbers stand on an axis, and names beside it.

import { typeset } from "fedlayers/html.js";

/** A text that is longer than so many letters without its middle: classes differ at the start, layers at the end. @returns {string} */
export function shortened(text, length = 24) {
  const tail = Math.ceil((length - 1) / 2);
  return text.length <= length ? text : `${text.slice(0, length - 1 - tail)}…${text.slice(-tail)}`;
}

/**
 * How an axis shows values, as fedlayers/statistics/axis_scale.py chooses it.
 * @typedef {{kind: "linear" | "log" | "symlog", threshold?: number, ends?: [number, number] | null}} Scale
 */

/**
 * The place of a value on a scale whose axis is drawn as a linear one, and the way back.
 * Only a scale that is logarithmic on both sides of zero moves anything: ECharts has no such axis.
 * @param {Scale | undefined} scale
 */
export function placing(scale) {
  if (scale?.kind !== "symlog") return { to: (value) => value, from: (place) => place };
  const t = scale.threshold;
  return {
    to: (value) => Math.abs(value) <= t ? value / t : Math.sign(value) * (1 + Math.log10(Math.abs(value) / t)),
    from: (place) => Math.abs(place) <= 1 ? place * t : Math.sign(place) * t * 10 ** (Math.abs(place) - 1),
  };
}

/** What an axis says at one of its ticks, which are round: all of its digits, but none that only comes of rounding. @param {number} value */
export function tick(value) {
  const exact = Number(value.toPrecision(10)), size = Math.abs(exact);
  return typeset(size !== 0 && (size >= 1e6 || size < 1e-3) ? exact.toExponential() : String(exact));
}

/** Whether a number is one at which an axis would have a tick by itself: two digits, and zeros. @param {number} value */
export const isRound = (value) => Number(value.toPrecision(2)) === value;
