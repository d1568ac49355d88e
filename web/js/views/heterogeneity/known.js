/** What is known of a client's records: the questions that the charts need, by what they are about. */
import { pathOf } from "fedlayers/data.js";
import { notesAbout, rowsOf } from "fedlayers/views/heterogeneity/records.js";
import { question, together } from "fedlayers/views/heterogeneity/questions.js";

/** Of how many selected records maps are averaged at most: each one costs a pass through both models. */
export const MOST_MAPPED = 60;

/** @typedef {import("fedlayers/views/heterogeneity/questions.js").Question} Question */

export class Known {
  /** @param {import("fedlayers/views/heterogeneity/settings.js").Settings} settings */
  constructor(settings) {
    this.settings = settings;
    /** @type {Map<string, Question>} */
    this.made = new Map();
  }

  /** Returns the question of a name, made once. @param {string} name @param {() => Question} make */
  once(name, make) {
    const found = this.made.get(name) ?? make();
    this.made.set(name, found);
    return found;
  }

  ofRun(path, params = {}) {
    return question(`${pathOf("runs", this.settings.run)}/${path}`, params);
  }

  ofClient(path, params = {}, body = undefined) {
    const { run, client } = this.settings;
    return question(`${pathOf("runs", run, "clients", client ?? 0)}/${path}`, params, body);
  }

  get shifts() {
    return this.once("shifts", () => this.ofRun("shifts", { round: this.settings.anyRound ? null : this.settings.round }));
  }

  /** What the run tested itself, of other records: see `metrics=[heterogeneity]`; null if it did not. */
  get ownShifts() {
    if (!this.settings.measured.includes("feature_shift")) return null;
    return this.once("own shifts", () => {
      const asked = this.ofRun("tables/records", {
        metric: ["label_shift", "feature_shift", "concept_shift", "shift_named"].filter((name) => this.settings.measured.includes(name)),
        columns: ["metric", "subject", "round", "client", "value", "p", "n", "status"],
      });
      // Not yet measured: the table has no such rows.
      return { ...asked, answer: asked.answer.catch((error) => (error.name === "Refusal" ? null : Promise.reject(error))) };
    });
  }

  get parameters() {
    return this.once("parameters", () => this.ofRun("parameters", { layer: this.settings.layer }));
  }

  get annotations() {
    return this.once("annotations", () => this.ofRun("annotations"));
  }

  get rounds() {
    return this.once("rounds", () => this.ofClient("rounds/rounds", { inputs: this.settings.inputs }));
  }

  get predictions() {
    return this.once("predictions", () => this.ofClient("rounds/records", { inputs: this.settings.inputs }));
  }

  get outputs() {
    const { asked: round, inputs } = this.settings;
    return this.once("outputs", () => this.ofClient("outputs", { round, inputs }));
  }

  get clusters() {
    return this.once("clusters", () => this.ofClient("clusters/records", this.clustering()));
  }

  get clusterTable() {
    return this.once("cluster table", () => this.ofClient("clusters/clusters", this.clustering()));
  }

  clustering() {
    const { asked: round, inputs, number, linkage } = this.settings;
    return { round, inputs, number, linkage };
  }

  get scores() {
    return this.once("scores", () => this.contrast("scores"));
  }

  get loadings() {
    return this.once("loadings", () => this.contrast("loadings"));
  }

  /** @param {string} part */
  contrast(part) {
    const { asked: round, inputs, alpha, space } = this.settings;
    if (space === "overview") return this.ofClient(`contrast/${part}`, { round, inputs, alpha });
    return chained(this.selected, (rows) => rows.length
      ? this.ofClient(`contrast/${part}`, {}, { examples: rows, round, inputs, alpha })
      : this.ofClient(`contrast/${part}`, { round, inputs, alpha }));
  }

  /** @param {number} place */
  feature(place) {
    return this.once(`feature ${place}`, () => this.ofClient(`features/${place}`, { inputs: this.settings.inputs }));
  }

  /** @param {number[]} rows */
  examples(rows) {
    return this.once(`examples ${rows}`, () => this.ofClient("examples", { example: rows, inputs: this.settings.inputs }));
  }

  /** Where both models look in some records. @param {number[]} rows @param {string} method */
  maps(rows, method) {
    const { asked: round, inputs, looked } = this.settings;
    const layer = method.endsWith("gradients") || method === "attention" ? null : looked;
    return this.once(`maps ${method} ${rows}`, () => this.ofClient("maps", {}, { examples: rows.slice(0, MOST_MAPPED), method, layer, round, inputs }));
  }

  /** The numbers of the selected records, ascending. */
  get selected() {
    return this.once("selected", () => {
      const { records } = this.settings;
      const needs = [this.outputs];
      if (records.kind === "cluster") needs.push(this.clusters);
      if (records.kind === "range") needs.push(this.feature(records.feature));
      if (records.kind === "notes") needs.push(this.annotations);
      return together(needs, ({ columns, length }, more) => rowsOf(records, length, {
        ...columns, clusters: more?.columns, values: more?.columns?.value, notes: Array.isArray(more) ? notesAbout(more, this.settings) : undefined,
      }));
    });
  }
}

/**
 * Returns a question that depends on the answer to another one.
 * @param {Question} first @param {(answer: any) => Question} next
 * @returns {Question}
 */
export function chained(first, next) {
  /** @type {?Question} */
  let second = null;
  /** @type {(() => void)[]} */
  const watching = [];
  const answer = first.answer.then((found) => {
    second = next(found);
    for (const listener of watching) second.watch(listener);
    return second.answer;
  });
  answer.catch(() => undefined);
  return {
    key: `${first.key} and then`,
    answer,
    job: () => second?.job() ?? first.job(),
    watch: (listener) => {
      first.watch(listener);
      second ? second.watch(listener) : watching.push(listener);
    },
    stop: () => (second ?? first).stop(),
    again: () => chained(first.again(), next),
  };
}
