/** Curves over the rounds with bands over clients, and the round that is selected. */
import { chart } from "fedlayers/chart.js";
import { mixed, PALETTE, SEQUENTIAL } from "fedlayers/colours.js";
import { lines } from "fedlayers/marks/lines.js";

/**
 * Draws one curve for each value of a column.
 * @param {HTMLElement} place
 * @param {object} about
 * @param {string} about.title
 * @param {Record<string, ArrayLike<any>>} about.columns of the answer
 * @param {any} about.facts of the answer
 * @param {number[]} about.rows those that are shown
 * @param {string} about.by the column that tells curves apart
 * @param {string[]} about.order its values
 * @param {string} [about.strong] the one that stands out; all do if it is none of them
 * @param {boolean} [about.kinds] whether the values have colours of their own, as tiers do
 * @param {string} about.note
 */
export function curves(place, { title, columns, facts, rows, by, order, strong, kinds, note, selection, context }) {
  const rounds = [...new Set(rows.map((row) => columns.round[row]))].sort((a, b) => a - b);
  const band = rows.some((row) => columns.count[row] > 1);
  const names = [by, "round", "mean", "low", "high", "count"];
  const shown = Object.fromEntries(names.map((name) => [name, rows.map((row) => columns[name][row])]));
  const many = order.length > PALETTE.length, picked = order.includes(strong) ? strong : null;
  chart(place, {
    title, label: `${order.length} curves over ${rounds.length} rounds`, table: { columns: shown, facts },
    notes: [note, many ? `from ${order[0]} (light) to ${order.at(-1)} (dark)` : band ? facts.band : ""],
    option: (how) => lines(order.map((name, at) => lineOf(name, shown, by, {
      band: band && !many, faint: picked ? name !== picked : false, kind: kinds ? name : undefined,
      // More lines than colours that can be told apart are coloured by their place.
      colour: many ? mixed(SEQUENTIAL, 0.25 + (0.75 * at) / (order.length - 1)) : PALETTE[at],
    })), { along: "round", label: facts.label, scale: facts.scale, how, legend: !many }),
    marker: rounds.length > 1 && selection.round !== undefined && selection.round !== null
      ? { at: selection.round, places: rounds, label: "round", onMove: (round) => context.select({ round }) } : undefined,
    onSelect: ({ row }) => {
      if (row === undefined) return;
      context.select({ round: shown.round[row], ...(by === "layer" ? { layer: shown.layer[row] } : {}) });
    },
  });
}

function lineOf(name, shown, by, { band, ...look }) {
  const rows = shown.round.map((_, row) => row).filter((row) => shown[by][row] === name);
  const at = (column) => rows.map((row) => shown[column][row]);
  return { name, x: at("round"), y: at("mean"), rows, ...(band ? { low: at("low"), high: at("high") } : {}), ...look };
}
