/** The density of the eigenvalues of one layer's Hessian, a line per client. */
import { categorical, shown } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { plot, valueAxis } from "fedlayers/marks/axes.js";
import { overlaid, thread } from "fedlayers/marks/overlay.js";
import { placing } from "fedlayers/numbers.js";
import { roundNote } from "fedlayers/views/layers/values.js";

/** More clients than the palette has colours are grey, but the one that is selected. */
const MOST_NAMED = 7;

/** @param {HTMLElement} place @param {any} about */
export function drawSpectra(place, about) {
  const { ask, path, selection } = about;
  const asked = ask(path("spectra"), { layer: selection.layer, round: selection.round });
  return overlaid(place, asked, String(selection.round), (table) => spectraOf(table, about), ({ columns, facts }) => {
    const mine = Array.from(columns.client.keys()).filter((row) => columns.client[row] === selection.client);
    const to = placeOf(facts).to;
    return thread(mine.map((row) => [to(columns.x[row]), columns.y[row] >= facts.ends[0] ? columns.y[row] : null]), "#CC79A7");
  });
}

const placeOf = ({ threshold }) => placing(threshold === null ? undefined : { kind: "symlog", threshold });

function spectraOf(table, { selection, select }) {
  const { columns, facts } = table, rowsOf = new Map();
  columns.client_name.forEach((name, row) => {
    const key = Number.isNaN(columns.client[row]) ? "global model" : `client ${name}`;
    if (!rowsOf.has(key)) rowsOf.set(key, []);
    rowsOf.get(key).push(row);
  });
  const names = [...rowsOf.keys()], isFew = names.length <= MOST_NAMED;
  const place = placeOf(facts);
  return {
    title: `Density of the Hessian's eigenvalues at ${facts.layer}, ${facts.moment}, round ${facts.round}`,
    label: names.join("; "), table, height: 320,
    notes: [facts.threshold === null ? "" : `eigenvalues: linear up to ±${short(facts.threshold)}, logarithmic beyond`, "strong: the selected client", roundNote(facts, selection)],
    option: (how) => ({
      xAxis: { ...valueAxis(facts.label_x, facts.threshold === null ? undefined : { kind: "symlog", threshold: facts.threshold }), nameGap: 26, splitLine: { show: false } },
      yAxis: valueAxis(facts.label_y, { kind: "log", ends: facts.ends }),
      grid: plot({ bottom: 72 }), legend: { show: true, type: "scroll", bottom: 0, data: isFew ? names : [] },
      tooltip: { formatter: ({ seriesName, dataIndex }) => {
        const row = rowsOf.get(seriesName)?.[dataIndex];
        return row === undefined ? "" : [seriesName, `eigenvalue ${short(columns.x[row])}`, `density ${short(columns.y[row])}`];
      } },
      series: [...rowsOf].map(([name, rows], at) => {
        const colour = name === "global model" ? shown("#000000", how) : isFew ? categorical(at, how) : shown("#888888", how);
        return {
          type: "line", name, rows, showSymbol: false, triggerLineEvent: true, connectNulls: false,
          data: rows.map((row) => [place.to(columns.x[row]), columns.y[row] >= facts.ends[0] ? columns.y[row] : null]),
          lineStyle: { color: colour, width: 1.4, opacity: isFew ? 1 : 0.5 }, itemStyle: { color: colour },
        };
      }),
    }),
    onSelect: ({ row }) => row !== undefined && !Number.isNaN(columns.client[row]) && select({ client: columns.client[row] }),
  };
}
