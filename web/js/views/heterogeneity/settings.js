/**
 * What the address says that this view shows, with what holds where it says nothing.
 *
 * @typedef {Object} Settings
 * @property {string} run
 * @property {?number} client whose records are looked at; null: nobody chosen.
 * @property {string[]} names of the clients.
 * @property {?number} round of the federated model: the last one kept up to the round selected.
 * @property {?number} asked the round as the service is asked: null for the last one, which is worked out beforehand.
 * @property {boolean} anyRound whether no round was selected.
 * @property {number[]} rounds those of which the federated model was kept.
 * @property {string} inputs which of the client's records.
 * @property {string} space `overview` (all records against the inconsistent ones) or `selection` (those selected against the rest).
 * @property {?number} alpha weight of the background; null: chosen by the service.
 * @property {?number} number of clusters; null: as many as stand out.
 * @property {string} linkage
 * @property {string} layer whose parameters are projected; All: of all layers.
 * @property {boolean} attends whether the network has layers of attention.
 * @property {?string} looked the convolutional layer of Grad-CAM; null: the last one.
 * @property {string} map `loadings`, or a method of attribution.
 * @property {?number} feature
 * @property {number} channel of images that is shown.
 * @property {?number} example the record looked at.
 * @property {string} scope of the distribution: `all` or `selection`.
 * @property {number} bins of the matrix' ground, along each side of a cell.
 * @property {boolean} logarithmic whether the distribution's counts are by decades.
 * @property {import("fedlayers/views/heterogeneity/records.js").Chosen} records
 * @property {string[]} measured the metrics of the run itself.
 */
import { clientNames } from "fedlayers/selection.js";
import { chosen } from "fedlayers/views/heterogeneity/records.js";

/** What a client has, and samples of the space that its records span, which have no truth. */
export const INPUTS = ["local", "client_train", "client_val", "client_test", "stratified", "systematic"];
export const LINKAGES = ["average", "single", "ward"];
export const METHODS = {
  loadings: "contrastive components", grad_cam: "Grad-CAM", hires_cam: "HiResCAM", elementwise: "element-wise (HetVis)",
  input_gradients: "input gradients", integrated_gradients: "integrated gradients",
  attention: "attention over all layers",
};

/** How wide squares of the matrix' ground are, shares of a cell -> how many there are along a side. */
export const GRIDS = { "0.05": 20, "0.1": 10, "0.025": 40 };

/**
 * @param {Record<string, any>} selection
 * @param {{run: any, oneOf: import("fedlayers/page.js").Context["oneOf"]}} context
 * @returns {Settings}
 */
export function settingsOf(selection, { run, oneOf }) {
  const { facts } = run;
  const own = (name) => selection[`heterogeneity.${name}`];
  const one = (name, known) => oneOf(`heterogeneity.${name}`, known, known[0]);
  const rounds = [...new Set(run.models.filter(([, owner]) => owner === "server").map(([round]) => round))].sort((a, b) => a - b);
  const upTo = rounds.filter((round) => round <= (selection.round ?? Infinity));
  const round = upTo.at(-1) ?? rounds[0] ?? null;
  const layer = (facts.layers ?? []).find((known) => known.name === selection.layer);
  const clients = facts.clients ?? 0;
  return {
    run: facts.run,
    client: selection.client >= 0 && selection.client < clients ? selection.client : null,
    names: clientNames(facts),
    round,
    asked: round === rounds.at(-1) ? null : round,
    anyRound: selection.round === undefined,
    rounds,
    inputs: one("inputs", INPUTS),
    space: one("space", ["overview", "selection"]),
    alpha: number(own("alpha"), 0),
    number: number(own("number"), 1, true),
    linkage: one("linkage", LINKAGES),
    layer: layer?.name ?? "All",
    attends: (facts.layers ?? []).some((known) => known.kind === "attention"),
    looked: layer?.kind === "conv" ? layer.name : null,
    map: one("map", Object.keys(METHODS)),
    feature: number(own("feature"), 0, true),
    channel: number(own("channel"), 0, true) ?? 0,
    example: number(own("example"), 0, true),
    scope: one("scope", ["all", "selection"]),
    bins: GRIDS[one("grid", Object.keys(GRIDS))],
    logarithmic: own("log") === "1",
    records: chosen(selection.records),
    measured: run.quantities.map((quantity) => quantity.name),
  };
}

/** Returns the number that a text is, null if it is none or too small. */
function number(text, least, whole = false) {
  const value = text === undefined || String(text).trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) && value >= least && (!whole || Number.isInteger(value)) ? value : null;
}

/** Returns the patch that sets some of this view's own keys. @param {Record<string, any>} values */
export function own(values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`heterogeneity.${name}`, value]));
}
