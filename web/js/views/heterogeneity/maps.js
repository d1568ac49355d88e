/** What tells records apart: contrastive components, or where both models look, over pixels, columns or words. */
import { chart } from "fedlayers/chart.js";
import { categorical } from "fedlayers/colours.js";
import { MOST_MAPPED } from "fedlayers/views/heterogeneity/known.js";
import { drawPixels, largest } from "fedlayers/views/heterogeneity/pixels.js";
import { METHODS, own } from "fedlayers/views/heterogeneity/settings.js";
import { valueAxis } from "fedlayers/marks/axes.js";
import { short } from "fedlayers/html.js";
import { shortened } from "fedlayers/numbers.js";

const MOST_BARS = 20;

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {import("fedlayers/page.js").Context} context
 */
export function drawMaps(panel, known, { select, oneOf }) {
  const { settings } = known;
  return panel.show([known.outputs], ({ facts }) => {
    const method = offer(panel, facts, settings, { select, oneOf });
    return method === "loadings" ? loadings(panel, known, facts, select) : attributions(panel, known, facts, method, select);
  });
}

/** Returns the methods that fit what records are, and what layers there are. */
function methodsOf({ kind }, { attends }) {
  const fit = { image: () => true, rows: (name) => !name.includes("cam") && name !== "elementwise", words: (name) => name === "loadings" };
  return Object.entries(METHODS).filter(([name]) => (name === "attention" ? attends && kind === "image" : fit[kind](name)));
}

/** Offers what fits these records; what the address has that does not is told. Returns the method that is shown. */
function offer(panel, facts, settings, { select, oneOf }) {
  const methods = /** @type {[string, string][]} */ (methodsOf(facts, settings)), fit = methods.map(([name]) => name);
  const method = fit.includes(settings.map) ? settings.map : oneOf("heterogeneity.map", fit, "loadings");
  panel.choice("map", methods, method, (map) => select(own({ map: map === "loadings" ? null : map })));
  const channels = facts.kind === "image" ? facts.shape[0] : 1;
  const names = channels === 3 ? ["red", "green", "blue"] : Array.from({ length: channels }, (_, at) => String(at));
  const shown = String(Math.min(settings.channel, channels - 1));
  if (settings.channel >= channels) oneOf("heterogeneity.channel", [...names.keys()].map(String), shown);
  if (channels > 1) panel.choice("channel", names.map((name, at) => [String(at), name]), shown, (channel) => select(own({ channel: channel === "0" ? null : channel })));
  return method;
}

/** Returns the feature that counts most in the components. @param {Record<string, ArrayLike<number>>} components */
export function strongest(components) {
  let [best, most] = [0, -1];
  for (const values of Object.values(components)) {
    for (let at = 0; at < values.length; at += 1) if (Math.abs(values[at]) > most) [best, most] = [at, Math.abs(values[at])];
  }
  return best;
}

function loadings(panel, known, facts, select) {
  return panel.show([known.loadings], ({ columns, facts: told, length }) => {
    if (!length) return panel.nothing("these records have no features");
    const { settings } = known;
    const picked = settings.feature !== null && settings.feature < length ? settings.feature : strongest(columns);
    const names = Object.keys(columns);
    const about = {
      title: "What each feature counts in the contrastive components", picked, facts: told,
      label: `the feature looked at is ${named(facts, picked)}`,
      notes: [`α = ${short(told.alpha, 3)}`, facts.kind === "image" ? "click a pixel to see its values" : "click a bar to see its values"],
    };
    const pick = (feature) => select(own({ feature }));
    if (facts.kind === "image") {
      const most = Math.max(...names.map((name) => largest(columns[name])));
      const maps = names.map((name) => ({ name: `component ${name.slice(1)}`, values: planeOf(columns[name], facts.shape, settings.channel), signed: true, most }));
      ofPixels(panel, about, maps, facts.shape, settings.channel, pick);
    } else {
      bars(panel, about, names.map((name) => ({ name: `component ${name.slice(1)}`, values: columns[name] })), facts.names, pick);
    }
  }, ["loadings", known.settings.feature, known.settings.channel]);
}

function attributions(panel, known, facts, method, select) {
  return panel.show([known.selected, known.outputs], (rows, { columns }) => {
    const { settings } = known;
    const odd = rows.length ? rows : Array.from(columns.consistent).flatMap((same, row) => (same ? [] : [row]));
    if (!odd.length) return panel.nothing("select records to see where both models look");
    return panel.show([known.maps(odd, method), known.loadings], ({ columns: found, facts: told, length }, { columns: components }) => {
      const maps = ["local", "federated", "difference"].map((name) => ({
        name: { local: "stand-alone model", federated: "federated model", difference: "difference" }[name], values: meanOf(found[name], length),
        signed: name === "difference" || method.endsWith("gradients"),
      }));
      const features = facts.shape.reduce((product, side) => product * side, 1);
      const picked = settings.feature !== null && settings.feature < features ? settings.feature : strongest(components);
      const shown = Math.min(odd.length, MOST_MAPPED);
      const about = {
        title: `${METHODS[method]} of both models`, picked, facts: told,
        label: `mean over ${shown} records; the feature looked at is ${named(facts, picked)}`,
        notes: [
          `mean over ${shown} ${rows.length ? "selected" : "inconsistent"} records${shown < odd.length ? `, the first of ${odd.length}` : ""}`,
          told.layer ? `layer ${told.layer}` : "", method === "attention" ? "whatever the class, divided by its largest value" : "each for the class that the model predicts, divided by its largest value",
        ],
      };
      const pick = (feature) => select(own({ feature }));
      if (facts.kind === "image") ofPixels(panel, about, maps, facts.shape, settings.channel, pick);
      else bars(panel, about, maps, facts.names, pick);
    }, [method, rows.length, settings.feature, settings.channel]);
  });
}

/** Returns the name of a feature. @param {any} facts of the records @param {number} place */
export function named({ kind, shape, names }, place) {
  if (kind !== "image") return names[place] ?? `feature ${place}`;
  const [channels, height, width] = shape;
  const rest = place % (height * width);
  const where = `pixel ${rest % width}, ${Math.floor(rest / width)}`;
  return channels > 1 ? `${where} of channel ${Math.floor(place / (height * width))}` : where;
}

function planeOf(values, [channels, height, width], channel) {
  const size = height * width;
  const plane = Math.min(channel, channels - 1);
  return Array.prototype.slice.call(values, plane * size, (plane + 1) * size);
}

function meanOf(rows, count) {
  const found = new Float64Array(rows[0].length);
  for (let row = 0; row < count; row += 1) for (let at = 0; at < found.length; at += 1) found[at] += rows[row][at] / count;
  return found;
}

function ofPixels(panel, about, maps, [channels, height, width], channel, pick) {
  const size = height * width;
  const plane = Math.min(channel, channels - 1);
  // What is picked in another channel is the same place of this one.
  drawPixels(panel.place, { ...about, maps, height, width, picked: about.picked % size, onPick: (pixel) => pick(plane * size + pixel) });
}

function bars(panel, about, maps, names, pick) {
  const count = maps[0].values.length;
  const weight = (at) => Math.max(...maps.map(({ values }) => Math.abs(values[at])));
  const order = Array.from({ length: count }, (_, at) => at).sort((one, other) => weight(other) - weight(one));
  const shown = order.slice(0, MOST_BARS);
  chart(panel.place, {
    title: about.title, label: about.label, height: Math.max(200, shown.length * 20 + 70),
    table: { columns: { feature: order.map((at) => names[at] ?? String(at)), ...Object.fromEntries(maps.map(({ name, values }) => [name, order.map((at) => values[at])])) }, facts: about.facts },
    notes: [...about.notes, count > MOST_BARS ? `the ${MOST_BARS} that count most of ${count}` : ""],
    onSelect: ({ row }) => row !== undefined && pick(order[row]),
    option: (how) => ({
      xAxis: { ...valueAxis("loading"), nameGap: 26 }, legend: { bottom: 0 },
      yAxis: { type: "category", inverse: true, data: shown.map((at) => names[at] ?? String(at)), axisLabel: { formatter: (name) => shortened(name, 16) } },
      grid: { left: 118, right: 14, top: 6, bottom: 62 },
      tooltip: { formatter: ({ seriesName, dataIndex, value }) => [named({ kind: "rows", names }, shown[dataIndex]), `${seriesName}: ${short(value)}`] },
      series: maps.map(({ name, values }, at) => ({
        type: "bar", name, rows: shown.map((_, place) => place), itemStyle: { color: categorical(at, how) },
        data: shown.map((feature) => ({ value: values[feature], itemStyle: feature === about.picked ? { borderColor: categorical(3, how), borderWidth: 2 } : {} })),
      })),
    }),
  });
}
