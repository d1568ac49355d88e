/** Heterogeneity: where a client's own and the federated model disagree, and why; all parts are linked by one selection. */
import { cleared } from "fedlayers/chart.js";
import { element } from "fedlayers/html.js";
import { drawAnnotations } from "fedlayers/views/heterogeneity/annotations.js";
import { drawClusters } from "fedlayers/views/heterogeneity/clusters.js";
import { drawDistribution } from "fedlayers/views/heterogeneity/distribution.js";
import { drawExample } from "fedlayers/views/heterogeneity/example.js";
import { Known } from "fedlayers/views/heterogeneity/known.js";
import { drawMaps, named } from "fedlayers/views/heterogeneity/maps.js";
import { drawMatrix } from "fedlayers/views/heterogeneity/matrix.js";
import { drawOverview } from "fedlayers/views/heterogeneity/overview.js";
import { Panel, PATIENCE_MS } from "fedlayers/views/heterogeneity/panel.js";
import { drawParameters } from "fedlayers/views/heterogeneity/parameters.js";
import { begin, settled } from "fedlayers/views/heterogeneity/questions.js";
import { goneNotes, notesAbout, words } from "fedlayers/views/heterogeneity/records.js";
import { INPUTS, LINKAGES, own, settingsOf } from "fedlayers/views/heterogeneity/settings.js";
import { drawTimeline } from "fedlayers/views/heterogeneity/timeline.js";
import { drawVerdict } from "fedlayers/views/heterogeneity/verdict.js";

/** The parts by their names, in three steps; the first one needs no client. */
const STEPS = [
  { title: "The training", parts: { verdict: "verdict", parameters: "parameters", timeline: "time line" } },
  { title: "Where the models disagree", parts: { overview: "overview", clusters: "clusters", matrix: "outputs and truth" } },
  { title: "What these records have in common", parts: { maps: "maps", distribution: "distribution", example: "one record", annotations: "annotations" } },
];
const WITHOUT_CLIENT = new Set(["verdict", "parameters"]);

/** @type {Record<string, Panel>} */
let panels = {};
/** @type {HTMLElement} */
let bar;

/** @type {import("fedlayers/page.js").Draw} */
export async function draw(place, selection, context) {
  const settings = settingsOf(selection, context);
  if (place.dataset.run !== settings.run) build(place, settings.run);
  begin();
  const why = settings.rounds.length ? "" : withoutModel(context.run.facts);
  const told = place.querySelector(".why");
  told.textContent = why;
  told.hidden = !why;
  for (const part of [bar, place.querySelector(".steps")]) part.hidden = Boolean(why);
  if (why) return settled();
  const known = new Known(settings);
  for (const [name, panel] of Object.entries(panels)) panel.box.hidden = settings.client === null && !WITHOUT_CLIENT.has(name);
  const drawn = [drawTop(known, selection.records, context), ...parts(known, context, () => draw(place, selection, context))];
  settled();
  // What takes longer says so in its own place.
  await Promise.race([Promise.all(drawn), new Promise((resolve) => setTimeout(resolve, PATIENCE_MS + 50))]);
}

/** Says why a run has no federated model to look at. */
function withoutModel({ algorithm }) {
  return algorithm === "local"
    ? "This run has no federated model, its clients train alone: choose the federated run that it is compared with, in the list above or in the study."
    : "This run has kept no federated model to set the clients' own against: snapshots.rounds, such as [last], lets a run keep some.";
}

/** Makes all parts anew: nothing of another run's clients stays. */
function build(place, run) {
  place.dataset.run = run;
  for (const panel of Object.values(panels)) {
    panel.turn += 1;
    cleared(panel.body);
  }
  bar = element("div", { class: "looked-at", role: "group", "aria-label": "selected records" });
  const steps = STEPS.map(({ title, parts }) => {
    const made = Object.entries(parts).map(([name, words]) => (panels[name] = new Panel(name, words)).box);
    return element("section", { class: "step", "aria-label": title }, element("h2", {}, title), element("div", { class: "panels" }, made));
  });
  place.replaceChildren(element("p", { class: "why" }), bar, element("div", { class: "steps" }, steps));
}

/** @param {Known} known */
function parts(known, context, changed) {
  const { settings } = known, { run, select } = context;
  const all = [drawVerdict(panels.verdict, known, select), drawParameters(panels.parameters, known, select)];
  if (settings.client === null) return all;
  controls(settings, select);
  return [
    ...all,
    drawTimeline(panels.timeline, known, select),
    drawOverview(panels.overview, known, select),
    drawClusters(panels.clusters, known, select),
    drawMatrix(panels.matrix, known, select),
    drawMaps(panels.maps, known, context),
    drawDistribution(panels.distribution, known, context),
    drawExample(panels.example, known, run, select),
    drawAnnotations(panels.annotations, known, select, changed),
  ];
}

/** What the components and clusters are made of. */
function controls(settings, select) {
  const { overview, clusters } = panels;
  const spaces = /** @type {[string, string][]} */ ([["overview", "inconsistent against all"], ["selection", "selected against the rest"]]);
  overview.choice("components", spaces, settings.space, (space) => select(own({ space: space === "overview" ? null : space })));
  overview.number("α", settings.alpha, { min: 0, step: "any", placeholder: "automatic" }, (text) => select(own({ alpha: text.trim() || null })));
  overview.button("select inconsistent", () => select({ records: "inconsistent" }), settings.records.kind !== "inconsistent");
  clusters.number("number", settings.number, { min: 1, step: 1, placeholder: "automatic" }, (text) => select(own({ number: text.trim() || null })));
  const linkages = LINKAGES.map((name) => /** @type {[string, string]} */ ([name, name]));
  clusters.choice("linkage", linkages, settings.linkage, (linkage) => select(own({ linkage: linkage === "average" ? null : linkage })));
}

/** The line above all parts: who is looked at, which records, and how to select none. @param {Known} known */
function drawTop(known, asked, { select, isCurrent }) {
  const { settings } = known;
  if (settings.client === null) {
    bar.replaceChildren(element("p", {}, "Choose a client, here or above, to look at its records."));
    return Promise.resolve();
  }
  if (!bar.querySelector("select")) {
    const inputs = element("select", { onchange: (event) => select({ ...own({ inputs: event.target.value }), records: null }) }, INPUTS.map((name) => element("option", { value: name }, name)));
    const none = element("button", { type: "button", onclick: () => select({ records: null }) }, "Select none");
    bar.replaceChildren(element("span", { class: "who" }), element("label", {}, "records ", inputs), element("span", { class: "which", "aria-live": "polite" }), none);
  }
  bar.querySelector(".who").textContent = `client ${settings.names[settings.client]}, round ${settings.round}`;
  bar.querySelector("select").value = settings.inputs;
  bar.querySelector("button").hidden = settings.records.kind === "none";
  const tell = (text) => {
    if (isCurrent()) bar.querySelector(".which").textContent = text;
  };
  // What is said of another selection does not stay while records of this one are looked for.
  const waiting = setTimeout(() => tell("looking for the selected records…"), PATIENCE_MS);
  return Promise.all([known.outputs.answer, known.selected.answer]).finally(() => clearTimeout(waiting)).then(
    async ([{ facts, length }, rows]) => {
      const what = words(settings.records, (feature) => named(facts, feature), facts.classes);
      const gone = await lost(known);
      tell(await notThere(known, asked, rows, gone || `it has none of ${what}`) || `${rows.length} of ${length} selected: ${what}${gone && `; ${gone}`}`);
    },
  ).catch(() => tell(""));
}

/** Says which annotations the address names that are not there. @param {Known} known */
async function lost(known) {
  const { records } = known.settings;
  return records.kind === "notes" ? goneNotes(records, notesAbout(await known.annotations.answer, known.settings)) : "";
}

/** Says that the address selects records of which there are none, or nothing. @param {Known} known */
async function notThere(known, asked, rows, why) {
  const { records, client, names } = known.settings;
  if (records.kind === "none") return asked === undefined ? "" : `records=${asked} in the address selects nothing: pick records below`;
  if (rows.length) return "";
  if (records.kind !== "cluster") return `No record of client ${names[client]} is selected: ${why}`;
  const { length } = await known.clusterTable.answer;
  const there = length > 1 ? `clusters 0 to ${length - 1}` : length ? "cluster 0 only" : "no clusters";
  return `There is no cluster ${records.cluster}: client ${names[client]} has ${there}`;
}
