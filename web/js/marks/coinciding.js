// Lines that lie on each other: the one below would be taken for missing, and is drawn wider.

/** So near, as a share of the axis' height, that one line is wide enough to hide another. */
const NEAR = 0.004;
const MOST_TOLD = 3, MOST_NAMED = 4;

/** @typedef {import("fedlayers/marks/lines.js").Line} Line */

/**
 * Which lines hide which.
 * @param {Line[]} lines in the order in which they are drawn
 * @param {(value: number) => number} height of a value on the y axis
 * @param {[number, number] | null} [ends] of the y axis, if they are not those of the lines
 * @returns {{depths: number[], sets: string[][]}} how many lines lie over each one, one over the other, 0 for a line that can
 *   be seen: all points of one that cannot are those of a later line; and the names of lines that coincide
 */
export function coinciding(lines, height, ends) {
  const points = lines.map(({ x, y }) => new Map(Array.from(x, (at, row) => [at, height(y[row])]).filter(([, level]) => Number.isFinite(level))));
  const near = NEAR * reach(lines, height, ends);
  const hides = (upper, lower) => [...lower].every(([at, level]) => Math.abs(upper.get(at) - level) <= near);
  const over = points.map((lower, at) => (lower.size ? points.flatMap((upper, other) => (other > at && hides(upper, lower) ? [other] : [])) : []));
  const depths = lines.map(() => 0);
  for (let at = lines.length - 1; at >= 0; at -= 1) depths[at] = Math.max(0, ...over[at].map((upper) => depths[upper] + 1));
  return { depths, sets: together(over).map((set) => set.map((at) => lines[at].name)) };
}

/** How high all that is drawn is. */
function reach(lines, height, ends) {
  let [low, high] = ends ? ends.map(height) : [Infinity, -Infinity];
  for (const line of lines) {
    for (const values of [line.y, line.low ?? [], line.high ?? []]) {
      for (let row = 0; row < values.length; row += 1) {
        const level = height(values[row]);
        if (Number.isFinite(level)) [low, high] = [Math.min(low, level), Math.max(high, level)];
      }
    }
  }
  return Math.max(0, high - low);
}

/** Numbers of lines that hide each other, in sets. @param {number[][]} over those that hide each line */
function together(over) {
  const found = new Map();
  over.forEach((uppers, lower) => {
    const all = uppers.length ? [lower, ...uppers] : [], set = new Set(all.flatMap((at) => [at, ...(found.get(at) ?? [])]));
    for (const at of set) found.set(at, set);
  });
  return [...new Set(found.values())].map((set) => [...set].sort((one, other) => one - other));
}

/** The names of lines of one look that are equal, in sets. @param {Line[]} lines @returns {string[][]} */
export function equals(lines) {
  const found = new Map();
  for (const { name, x, y } of lines) {
    const key = `${Array.from(x)} ${Array.from(y)}`;
    found.set(key, [...(found.get(key) ?? []), name]);
  }
  return [...found.values()].filter((names) => names.length > 1);
}

/** Says which lines coincide. @param {string[][]} hidden names of lines of which one is wider @param {string[][]} alike @returns {string[]} */
export function told(hidden, alike) {
  const found = [...hidden.map((names) => `${listed(names)} coincide, the one below is wider`), ...alike.map((names) => `${listed(names)} coincide`)];
  return found.length > MOST_TOLD ? [...found.slice(0, MOST_TOLD), `${found.length - MOST_TOLD} more sets of lines coincide`] : found;
}

function listed(names) {
  const shown = names.length > MOST_NAMED ? [...names.slice(0, MOST_NAMED - 1), `${names.length - MOST_NAMED + 1} more`] : names;
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
