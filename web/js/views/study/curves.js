/** Picked runs side by side: those that differ only in their seed are one line, with its interval. */
import { drawn } from "fedlayers/chart.js";
import { choice, element } from "fedlayers/html.js";
import { lines } from "fedlayers/marks/lines.js";

export async function drawCurves(place, selection, context) {
  const parts = built(place), runs = selection.runs ?? [];
  const known = new Set(context.runs.map((line) => line.run));
  const there = runs.filter((run) => known.has(run));
  parts.charts.toggleAttribute("hidden", !there.length);
  parts.hint.textContent = there.length
    ? `${there.length} picked; runs that differ in nothing but their seed are one line`
    : "Pick runs in the table to see their curves side by side, with intervals over seeds.";
  if (!there.length) return parts.controls.replaceChildren();
  const answer = context.ask("charts/groups", { run: there });
  for (const place_ of parts.places) drawn(place_, answer, (table) => curves(table, place_, parts, context));
  await answer.catch(() => null); // each chart says what went wrong
}

function built(place) {
  if (place.parts) return place.parts;
  const hint = element("p", { class: "note" }), controls = element("div", { class: "controls" });
  const places = [element("div", { "data-metric": "0" }), element("div", { "data-metric": "1" })];
  const charts = element("div", { class: "charts" }, places);
  place.append(element("h2", {}, "Picked runs"), hint, controls, charts);
  return (place.parts = { hint, controls, charts, places });
}

function curves(table, place, parts, { select, oneOf }) {
  const { columns, facts, length } = table, metric = facts.metrics[Number(place.dataset.metric)];
  const kind = oneOf("study.evaluation", facts.evaluations, facts.evaluations.find((one) => one.includes("after aggregation")) ?? facts.evaluations[0]);
  parts.controls.replaceChildren(...(facts.evaluations.length > 1
    ? [choice("evaluation", facts.evaluations.map((one) => [one, one]), kind, (chosen) => select({ "study.evaluation": chosen }))] : []));
  place.toggleAttribute("hidden", !metric);
  const shown = metric ?? facts.metrics[0];
  const found = facts.groups.map((group) => {
    const rows = Array.from({ length }, (_, row) => row).filter((row) =>
      columns.group[row] === group.name && columns.metric[row] === shown.name && columns.evaluation[row] === kind);
    const of = (name) => rows.map((row) => columns[name][row]);
    const count = Math.max(0, ...of("runs"));
    return { name: `${group.name} (n = ${count})`, x: of("round"), y: of("value"), low: of("low"), high: of("high"), rows };
  });
  return {
    title: `${shown.label} over rounds: ${kind}`, table, rows: found.flatMap((line) => line.rows), notes: [facts.band], label: found.map((line) => line.name).join("; "),
    option: (how) => lines(found, { along: "round", label: shown.label, how }),
  };
}
