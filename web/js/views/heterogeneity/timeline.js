/** The time line: how the two models come to disagree over the rounds, also about the selected records. */
import { chart } from "fedlayers/chart.js";
import { categorical } from "fedlayers/colours.js";
import { lines } from "fedlayers/marks/lines.js";
import { short } from "fedlayers/html.js";

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawTimeline(panel, known, select) {
  const { settings } = known;
  return panel.show([known.rounds, known.annotations], ({ columns, facts }, notes) => {
    const own = notes.filter((note) => note.client === settings.client && note.round !== null && columns.round.includes(note.round));
    const draw = (selected) => drawn(panel, { columns, facts, settings, own, select, selected });
    if (settings.records.kind === "none") return draw(null);
    const needs = [known.predictions, known.outputs, known.selected];
    return panel.show(needs, (predictions, outputs, rows) => draw(rows.length ? ofSelection(predictions, outputs, rows) : null));
  });
}

/** Returns in each round the share of some records that are inconsistent, and how many the federated model gets right. */
export function ofSelection({ columns: { federated }, length }, { columns: { local, truth } }, rows) {
  const share = (round, test) => rows.length ? rows.filter((row) => test(federated[round][row], row)).length / rows.length : NaN;
  const rounds = Array.from({ length }, (_, round) => round);
  return {
    count: rows.length,
    inconsistent: Float64Array.from(rounds, (round) => share(round, (label, row) => label !== local[row])),
    accuracy: Float64Array.from(rounds, (round) => Number.isFinite(truth?.[rows[0]]) ? share(round, (label, row) => label === truth[row]) : NaN),
  };
}

function drawn(panel, { columns, facts, settings, own, select, selected }) {
  const constant = (value) => new Float64Array(columns.round.length).fill(value ?? NaN);
  const alone = constant(facts.local_accuracy), chance = constant(facts.null);
  const line = (name, y, more) => ({ name, x: columns.round, y, rows: Array.from(columns.round, (_, at) => at), ...more });
  const all = [
    line("inconsistent", columns.disagreement, { colour: "#D55E00" }),
    line("accuracy, federated", columns.accuracy, { colour: "#009E73" }),
    ...level("accuracy, stand-alone", alone, "#009E73"),
    ...level("inconsistent, two seeds alone", chance, "#D55E00"),
    ...(selected ? [
      line("selected: inconsistent", selected.inconsistent, { colour: "#D55E00", style: "dashed" }),
      line("selected: accuracy", selected.accuracy, { colour: "#009E73", style: "dashed" }),
    ] : []),
  ];
  function level(name, values, colour) {
    return Number.isFinite(values[0]) ? [line(name, values, { colour, style: "dotted" })] : [];
  }
  chart(panel.place, {
    title: `Over the rounds, client ${settings.names[settings.client]}`, height: 320,
    label: `the share of inconsistent records goes from ${short(columns.disagreement[0], 3)} to ${short(columns.disagreement.at(-1), 3)}`,
    option: (how) => {
      const made = lines(all, {
        along: "round", label: "share of records", scale: { kind: "linear", ends: [0, 1] }, how,
      });
      return { ...made, legend: { ...made.legend, type: "plain" }, grid: { ...made.grid, bottom: 92 }, series: [...made.series, ...pins(own, how)] };
    },
    table: { columns: { ...columns, accuracy_alone: alone, disagreement_null: chance, ...(selected ? { selected_inconsistent: selected.inconsistent, selected_accuracy: selected.accuracy } : {}) }, facts },
    marker: { at: settings.round, places: settings.rounds, label: "round", onMove: (round) => select({ round }) },
    notes: [
      `of the client's records "${settings.inputs}"${settings.measured.includes("disagreement") && settings.inputs !== "client_train" ? "; the run's own metric disagreement is of client_train" : ""}`,
      selected ? `dashed: the ${selected.count} selected records` : "", own.length ? "pins: annotations" : "",
    ],
    onSelect: ({ row, name, series }) => {
      if (series === "annotations") select({ records: `notes:union:${name}` });
      else if (row !== undefined) select({ round: columns.round[row] });
    },
  });
}

/** Annotations at their rounds. */
function pins(notes, how) {
  if (!notes.length) return [];
  return [{
    type: "scatter", name: "annotations", symbol: "pin", symbolSize: 20, itemStyle: { color: categorical(3, how) }, z: 5,
    data: notes.map((note) => ({ value: [note.round, 0.94], name: note.id })),
    tooltip: { formatter: ({ dataIndex }) => [`round ${notes[dataIndex].round}`, notes[dataIndex].text] },
  }];
}
