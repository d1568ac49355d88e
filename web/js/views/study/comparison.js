/** How the algorithms of complete runs compare: by setting, by rank, and by how evenly they serve their clients. */
import { drawn } from "fedlayers/chart.js";
import { choice, element, filled, short } from "fedlayers/html.js";
import { heatMap } from "fedlayers/marks/heat-map.js";
import { intervals } from "fedlayers/marks/intervals.js";
import { ranked } from "fedlayers/marks/ranks.js";

const SERVED = [["mean", "mean"], ["worst_decile", "worst tenth of clients"], ["worst_client", "worst client"]];
const MOST_SENTENCES = 30, NO_INTERVALS = "no intervals: they need two seeds";
const known = (ends) => ends.some(Number.isFinite);

export async function drawComparison(place, selection, context) {
  const complete = context.runs.filter((line) => line.status === "complete").map((line) => line.run);
  place.toggleAttribute("hidden", context.runs.length < 2);
  if (context.runs.length < 2) return;
  const parts = built(place), picked = (selection.runs ?? []).filter((run) => complete.includes(run));
  parts.about.textContent = picked.length > 1 ? `of ${picked.length} picked complete runs` : `of all ${complete.length} complete runs; pick several to compare only those`;
  const params = { run: picked.length > 1 ? picked : null, metric: selection["study.metric"], round: selection["study.best"] ? "best" : null };
  const settings = context.ask("charts/comparison/settings", params);
  const drawings = [
    drawn(parts.matrix, settings, matrix),
    drawn(parts.served, settings, (table) => served(table, parts, context)),
    drawn(parts.ranks, context.ask("charts/comparison/ranks", params), ranks),
  ];
  const found = await settings.catch(() => null);
  if (found && context.isCurrent()) {
    const { facts } = found;
    const best = element("input", { type: "checkbox", checked: Boolean(selection["study.best"]), onchange: (event) => context.select({ "study.best": event.target.checked ? 1 : null }) });
    filled(parts.controls, [facts.metrics, facts.metric, selection["study.best"]], () => [
      choice("score", facts.metrics.map((name) => [name, name.replaceAll("_", " ")]), facts.metric, (metric) => context.select({ "study.metric": metric })),
      element("label", {}, best, " best round by validation loss instead of the last"),
    ]);
    parts.sentences.replaceChildren(...facts.conclusions.slice(0, MOST_SENTENCES).map((sentence) => element("li", {}, sentence)));
  }
  await Promise.all(drawings);
}

function built(place) {
  if (place.parts) return place.parts;
  const part = (name) => element("div", { "data-part": name });
  const parts = { about: element("span", { class: "note" }), controls: element("div", { class: "controls" }), sentences: element("ul", { class: "note" }), matrix: part("matrix"), served: part("served"), ranks: part("ranks"), setting: element("div", { class: "over-chart" }) };
  place.append(
    element("h2", {}, "Algorithms ", parts.about), parts.controls,
    element("div", { class: "charts" }, parts.matrix, parts.ranks, element("div", {}, parts.setting, parts.served)), parts.sentences,
  );
  return (place.parts = parts);
}

function matrix(table) {
  const { columns, facts } = table;
  const settings = [...new Set(columns.setting)], algorithms = [...new Set(columns.algorithm)];
  const means = [...columns.mean].filter(Number.isFinite), scope = facts.split === "test" ? "test" : "validation";
  return {
    title: `clients' ${scope} ${facts.label}, ${facts.reported}`, table, label: "algorithms by settings",
    notes: [`means over clients and seeds${known(columns.mean_low) ? "; at a cell stands its 95 % interval over seeds" : `; ${NO_INTERVALS}`}`], height: 90 + 34 * algorithms.length + 40,
    option: (how) => heatMap({
      columns: settings, rows: algorithms, x: columns.setting.map((one) => settings.indexOf(one)), y: columns.algorithm.map((one) => algorithms.indexOf(one)),
      values: columns.mean, limits: [Math.min(...means), Math.max(...means)], darkIsLow: facts.direction === "lower", label: facts.label, across: "setting", down: "algorithm", how,
      tip: (at) => [
        Number.isFinite(columns.mean_low[at]) ? `95 %: ${short(columns.mean_low[at])} to ${short(columns.mean_high[at])}` : "", `${columns.seeds[at]} seed${columns.seeds[at] > 1 ? "s" : ""}, ${columns.clients[at]} clients`,
        columns.is_best[at] ? "the best mean of this setting; no test" : "",
      ],
    }),
  };
}

function served(table, parts, { select, oneOf }) {
  const { columns, facts } = table, settings = [...new Set(columns.setting)];
  const setting = oneOf("study.setting", settings, settings[0]);
  filled(parts.setting, [settings, setting], () => settings.length > 1
    ? [choice("setting", settings.map((one) => [one, one]), setting, (chosen) => select({ "study.setting": chosen }))] : []);
  const rows = [...columns.setting.keys()].filter((row) => columns.setting[row] === setting);
  const of = (name) => rows.map((row) => columns[name][row]);
  return {
    title: `how evenly clients are served: ${facts.label}`, table, rows, label: setting, notes: [SERVED.some(([name]) => known(of(`${name}_low`))) ? "bars: 95 % intervals over seeds" : NO_INTERVALS],
    option: (how) => intervals(SERVED.map(([name, words]) => ({ name: words, y: of(name), low: of(`${name}_low`), high: of(`${name}_high`), rows })), {
      along: "algorithm", names: of("algorithm"), label: facts.label, how,
      tip: (at) => [`variance over clients ${short(of("variance")[at], 3)}`, Number.isFinite(of("better_than_local")[at]) ? `${Math.round(100 * of("better_than_local")[at])} % of clients are better off than alone` : ""],
    }),
  };
}

function ranks(table) {
  const { columns, facts } = table;
  const one = facts.rankings.find((ranking) => ranking.over === "settings") ?? facts.rankings[0];
  if (!one) throw new Error(`there are no ranks: ${facts.nothing}`);
  const rows = [...columns.over.keys()].filter((row) => columns.over[row] === one.over);
  const blocks = one.over === "settings" ? `${one.blocks} settings` : `${one.blocks} seed${one.blocks > 1 ? "s" : ""} of ${one.settings} setting${one.settings > 1 ? "s" : ""}`;
  const tested = one.reason ? `no test: ${one.reason}` : `Friedman's test: p = ${short(one.p, 2)}; ranks that are ${short(one.critical_difference, 3)} apart differ (Nemenyi)`;
  return {
    title: `ranks over ${blocks}`, table, label: tested, height: 90 + 34 * rows.length + 40,
    notes: [tested, one.alike.length ? "bars join algorithms that cannot be told apart" : ""],
    option: (how) => ranked({ names: rows.map((row) => columns.algorithm[row]), ranks: rows.map((row) => columns.rank[row]), alike: one.alike, label: facts.label, rows, how }),
  };
}
