/** One record: as the data set has it, what both models say about it, and where they look. */
import { element, short } from "fedlayers/html.js";
import { METHODS, own } from "fedlayers/views/heterogeneity/settings.js";
import { drawPixels, largest } from "fedlayers/views/heterogeneity/pixels.js";
import { image } from "fedlayers/views/heterogeneity/pictures.js";

const CAM = "grad_cam";

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {any} run
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawExample(panel, known, run, select) {
  const { settings } = known;
  return panel.show([known.outputs, known.selected], (outputs, selected) => {
    const list = selected.length ? selected : Array.from(outputs.columns.consistent).flatMap((same, row) => (same ? [] : [row]));
    const row = settings.example !== null && settings.example < outputs.length ? settings.example : list[0] ?? 0;
    const wrong = settings.example !== null && settings.example !== row
      ? `There is no record ${settings.example}: client ${settings.names[settings.client]} has records 0 to ${outputs.length - 1}. Shown is ${row}.` : "";
    offer(panel, list, row, outputs.length, select);
    const method = methodOf(outputs.facts, run, settings);
    const show = (record, maps) => {
      const place = panel.place;
      if (!place.firstChild) place.append(element("div", { class: "example-words" }), element("div", { class: "example-pictures" }));
      const [words, pictures] = place.children;
      words.replaceChildren(...(wrong ? [element("p", { class: "told", role: "alert" }, wrong)] : []), ...said(outputs, row, selected.includes(row)));
      pictured(pictures, { outputs, row, record, maps, method, settings, select });
      place.charted = { columns: Object.fromEntries(Object.entries(outputs.columns).map(([name, column]) => [name, [column[row]]])), facts: outputs.facts };
    };
    const needs = [known.examples([row]), ...(method ? [known.maps([row], method)] : [])];
    return panel.show(needs, show);
  });
}

function offer(panel, list, row, count, select) {
  const at = list.indexOf(row);
  const go = (example) => select(own({ example }));
  const next = (step) => list[at < 0 ? (step > 0 ? list.findIndex((one) => one > row) : list.findLastIndex((one) => one < row)) : at + step];
  panel.button("previous", () => go(next(-1)), next(-1) !== undefined);
  panel.button("next", () => go(next(1)), next(1) !== undefined);
  panel.number("record", row, { min: 0, max: count - 1, step: 1 }, (text) => text.trim() && Number(text) >= 0 && Number(text) < count && go(Number(text)));
  let told = panel.controls.querySelector(".of");
  if (!told) panel.controls.append((told = element("span", { class: "of" })));
  told.textContent = list.length ? `${at < 0 ? "not one" : at + 1} of ${list.length}` : "";
}

/** Returns the method of the maps: the one chosen for many records, else what the network allows. */
function methodOf({ kind }, run, { map: chosen, attends }) {
  if (kind === "words") return attends ? "attention" : null;
  const hasMaps = (run.facts.layers ?? []).some((layer) => layer.kind === "conv");
  if (chosen === "attention" && attends) return chosen;
  if (kind === "rows") return chosen.endsWith("gradients") ? chosen : "input_gradients";
  return chosen !== "loadings" && (hasMaps || chosen.endsWith("gradients")) ? chosen : hasMaps ? CAM : "input_gradients";
}

function said({ columns, facts, length }, row, isSelected) {
  const name = (label) => String(facts.classes[label] ?? label);
  const truth = columns.truth ? columns.truth[row] : null;
  const line = (who, label, sure) => element("p", {},
    element("strong", {}, `${who}: `), name(label), ` (${Math.round(100 * sure)} %) `,
    truth === null || truth === undefined ? "" : element("span", { class: label === truth ? "right" : "wrong" }, label === truth ? "✓ right" : "✗ wrong"));
  return [
    element("p", {}, `record ${row} of ${length}${columns.scope ? `, ${columns.scope[row]}` : ""}${isSelected ? ", selected" : ""}`),
    ...(truth === null || truth === undefined ? [] : [element("p", {}, element("strong", {}, "truth: "), name(truth))]),
    line("stand-alone model", columns.local[row], columns.local_confidence[row]),
    line("federated model", columns.federated[row], columns.federated_confidence[row]),
    element("p", {}, `${columns.consistent[row] ? "consistent" : "inconsistent"}, Jensen-Shannon divergence ${short(columns.divergence[row], 3)} nat`),
  ];
}

function pictured(place, { outputs, row, record, maps, method, settings, select }) {
  const { facts } = outputs;
  const values = record.columns.features[0];
  if (facts.kind === "words") return place.replaceChildren(...asWords(record.columns.text[0], maps));
  if (facts.kind === "rows") return place.replaceChildren(asTable(facts.names, values, maps));
  const [channels, height, width] = facts.shape;
  const parts = ["local", "federated", "difference"].map((name) => ({
    name: { local: "stand-alone model", federated: "federated model", difference: "difference" }[name], values: maps.columns[name][0],
    signed: name === "difference" || method.endsWith("gradients"), most: Math.max(1e-12, largest(maps.columns[name][0])),
  }));
  const size = height * width;
  if (place.firstChild?.tagName === "BLOCKQUOTE" || place.firstChild?.tagName === "TABLE") place.replaceChildren();
  drawPixels(place, {
    title: `Record ${row}, and where both models look`, label: METHODS[method], height, width, high: 190,
    maps: [{ name: "record", canvas: image(values, [channels, height, width]) }, ...parts],
    picked: settings.feature === null || settings.feature >= channels * size ? null : settings.feature % size, facts: maps.facts,
    notes: [METHODS[method], maps.facts.layer ? `layer ${maps.facts.layer}` : "", "each for the class that the model predicts"],
    onPick: (pixel) => select(own({ feature: Math.min(settings.channel, channels - 1) * size + pixel })),
  });
}

/** A text; where the models attend, once for each, words marked by how much of them reaches the end. */
function asWords(text, maps) {
  if (!maps) return [element("blockquote", {}, text)];
  const words = text.split(" ");
  return ["local", "federated"].map((name) => {
    const weights = maps.columns[name][0], who = name === "local" ? "stand-alone model" : "federated model";
    const marked = words.flatMap((word, at) => [element("mark", {
      class: "attended", style: `--share: ${Math.round(100 * (weights[at] ?? 0))}%`, title: `${word}: ${short(weights[at] ?? 0, 2)} of the most that reaches the end`,
    }, word), " "]);
    return element("blockquote", {}, element("p", { class: "note" }, `what reaches the end of the ${who}'s attention, darkest: most`), element("p", {}, marked));
  });
}

/** A record of a table: its values, and what each counts in both models' outputs. */
function asTable(names, values, maps) {
  const heads = ["feature", "value", "stand-alone", "federated"];
  const rows = Array.from(values, (value, at) => element("tr", {},
    element("th", { scope: "row" }, names[at] ?? String(at)), element("td", {}, short(value)),
    element("td", {}, short(maps.columns.local[0][at], 2)), element("td", {}, short(maps.columns.federated[0][at], 2))));
  return element("table", { class: "record" },
    element("thead", {}, element("tr", {}, heads.map((head) => element("th", { scope: "col" }, head)))), element("tbody", {}, rows));
}
