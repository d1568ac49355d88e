/** What layers predict, keep and add, by depth: the read-outs of a chain of layers and the answers in words. */
import { cleared } from "fedlayers/chart.js";
import { PALETTE } from "fedlayers/colours.js";
import { element } from "fedlayers/html.js";
import { get } from "fedlayers/address.js";
import { lines } from "fedlayers/marks/lines.js";
import { overlaid } from "fedlayers/marks/overlay.js";

const GREY = "#888888", OWNERS = ["global model", "clients' models"];

/** @param {any} parts @param {any} about */
export async function drawReadouts(parts, about) {
  const { ask, path, known } = about;
  parts.readouts.toggleAttribute("hidden", !known.facts.readouts);
  if (!known.facts.readouts) return;
  const asked = ask(path("readouts"));
  const { columns, facts } = await asked;
  if (!about.isCurrent()) return;
  parts.answers.replaceChildren(...facts.paragraphs.flatMap(({ heading, sentences }) => [
    element("h3", {}, heading), ...sentences.map((sentence) => element("p", {}, sentence)),
  ]));
  const panels = [...new Set(columns.quantity.map((name, row) => `${name}\n${columns.variant[row]}`))];
  while (parts.depth.children.length < panels.length) parts.depth.append(element("div"));
  while (parts.depth.children.length > panels.length) {
    cleared(parts.depth.lastElementChild);
    parts.depth.lastElementChild.remove();
  }
  await Promise.all(panels.map((panel, at) => overlaid(parts.depth.children[at], asked, panel, (table) => readoutOf(table, panel, about), () => () => [])));
}

function readoutOf(table, panel, { select }) {
  const { columns, facts } = table, [quantity, variant] = panel.split("\n");
  const mine = [];
  columns.quantity.forEach((name, row) => name === quantity && columns.variant[row] === variant && mine.push(row));
  const label = columns.label[mine[0]], found = [];
  for (const who of OWNERS) {
    const rows = mine.filter((row) => columns.who[row] === who);
    if (!rows.length) continue;
    const of = (name) => rows.map((row) => columns[name][row]), stderr = of("stderr"), low = of("low"), high = of("high");
    const isMany = low.some((value, at) => value < high[at]);
    found.push({ name: isMany ? `mean over ${who}` : who, rows, x: of("place"), y: of("mean"), colour: PALETTE[OWNERS.indexOf(who)], ...(isMany ? { low, high } : {}), ...(stderr.some(Number.isFinite) ? { stderr } : {}) });
    if (who === OWNERS.at(-1) || !mine.some((row) => columns.who[row] === OWNERS.at(-1))) found.push(...chance(rows, columns));
  }
  const equal = facts.equal[quantity];
  return {
    title: `${label}${variant ? `, ${variant}` : ""}, by depth`, label: found.map((line) => line.name).join("; "), table, rows: mine, height: 240,
    notes: [found.some((line) => line.low && line.colour !== GREY) ? facts.band : "", found.some((line) => line.stderr) ? "bars: ± 1 standard error" : ""],
    option: (how) => lines(found, { along: "layer", names: facts.layers, label, how, level: Number.isFinite(equal) ? { value: equal, name: "two equal layers" } : undefined }),
    onSelect: ({ row }) => row !== undefined && select({ layer: columns.layer[row] === get().layer ? null : columns.layer[row] }),
  };
}

function chance(rows, columns) {
  const known = rows.filter((row) => Number.isFinite(columns.chance[row]));
  if (!known.length) return [];
  const of = (name) => known.map((row) => columns[name][row]), end = of("chance_hi"), mean = of("chance");
  const ends = end.some(Number.isFinite) ? { low: mean.map((value, at) => Math.min(value, end[at])), high: mean.map((value, at) => Math.max(value, end[at])) } : {};
  return [{ name: "chance", x: of("place"), y: mean, rows: known, colour: GREY, style: "dotted", ...ends }];
}
