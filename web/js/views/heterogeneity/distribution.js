/** Which values one feature has: in all records, in consistent and inconsistent ones, and in those selected. */
import { chart } from "fedlayers/chart.js";
import { ink, PALETTE, shown } from "fedlayers/colours.js";
import { short } from "fedlayers/html.js";
import { valueAxis } from "fedlayers/marks/axes.js";
import { onBrush, unbrushed } from "fedlayers/views/heterogeneity/brush.js";
import { ends, histogram } from "fedlayers/views/heterogeneity/geometry.js";
import { named, strongest } from "fedlayers/views/heterogeneity/maps.js";
import { own } from "fedlayers/views/heterogeneity/settings.js";

const MOST_BARS = 32;

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {import("fedlayers/page.js").Context} context
 */
export function drawDistribution(panel, known, { select, oneOf }) {
  const { settings } = known;
  const draw = (place, outputs) => panel.show([outputs, known.feature(place), known.selected], ({ columns, facts }, values, rows) => {
    offer(panel, settings, facts, place, select);
    drawHistogram(panel, { settings, columns, facts, place, values: values.columns.value, rows, select });
  });
  // Asked meanwhile: that it is one of these records is known from the outputs.
  if (settings.feature !== null) known.feature(settings.feature);
  return panel.show([known.outputs], (outputs) => {
    const features = featuresOf(outputs.facts);
    if (settings.feature !== null && settings.feature < features) return draw(settings.feature, outputs);
    return panel.show([known.loadings], ({ columns, length }) => {
      if (!length) return panel.nothing("these records have no features");
      const place = strongest(columns);
      if (settings.feature !== null) oneOf("heterogeneity.feature", Array.from({ length: features }, (_, at) => String(at)), `${place}, the strongest`);
      return draw(place, outputs);
    });
  });
}

/** How many features records have. */
const featuresOf = ({ names, shape }) => names?.length || shape.reduce((product, side) => product * side, 1);

function offer(panel, settings, facts, place, select) {
  const features = featuresOf(facts);
  if (facts.kind === "image") {
    const [, height, width] = facts.shape;
    const size = height * width;
    const move = (column, row) => select(own({ feature: Math.floor(place / size) * size + row * width + column }));
    const [column, row] = [place % width, Math.floor((place % size) / width)];
    panel.number("column", column, { min: 0, max: width - 1, step: 1 }, (text) => inside(text, width) && move(Number(text), row));
    panel.number("row", row, { min: 0, max: height - 1, step: 1 }, (text) => inside(text, height) && move(column, Number(text)));
  } else {
    const names = Array.from({ length: features }, (_, at) => /** @type {[string, string]} */ ([String(at), named(facts, at)]));
    panel.choice("feature", names, String(place), (feature) => select(own({ feature })));
  }
  panel.button("strongest", () => select(own({ feature: null })), settings.feature !== null);
  panel.choice("of", [["all", "all records"], ["selection", "selected records"]], settings.scope, (scope) => select(own({ scope: scope === "all" ? null : scope })));
  panel.check("by decades", settings.logarithmic, (on) => select(own({ log: on ? "1" : null })));
  panel.only(facts.kind === "image" ? ["column", "row", "strongest", "of", "by decades"] : ["feature", "strongest", "of", "by decades"]);
}

const inside = (text, limit) => text.trim() !== "" && Number.isInteger(Number(text)) && Number(text) >= 0 && Number(text) < limit;

function drawHistogram(panel, { settings, columns, facts, place, values, rows, select }) {
  const everyone = Array.from({ length: values.length }, (_, row) => row);
  const base = settings.scope === "selection" ? rows : everyone;
  const limits = ends(values);
  const count = bars(values, limits);
  const name = named(facts, place);
  const of = (test) => histogram(values, limits, count, base.filter(test)).heights;
  const groups = {
    all: of(() => true), consistent: of((row) => columns.consistent[row]), inconsistent: of((row) => !columns.consistent[row]),
    ...(rows.length && settings.scope === "all" ? { selected: histogram(values, limits, count, rows).heights } : {}),
  };
  const { edges } = histogram(values, limits, count, []);
  chart(panel.place, {
    title: `Values of ${name}`, height: 260,
    label: `of ${base.length} records, between ${short(limits[0])} and ${short(limits[1])}`,
    option: (how) => option(how, groups, edges, name, settings.logarithmic),
    table: { columns: { from: edges.slice(0, -1), to: edges.slice(1), ...groups }, facts: { feature: place, name } },
    notes: [settings.scope === "selection" ? `of the ${rows.length} selected records` : `of all ${values.length} records`, "drag over values to select the records that have them"],
    onSelect: ({ row }) => row !== undefined && choose(edges[row], edges[row + 1]),
  });
  const choose = (low, high) => select({ records: `range:${place}:${Number(low.toPrecision(6))}:${Number(high.toPrecision(6))}` });
  onBrush(panel.place, ([{ coordRange: [low, high] }]) => {
    unbrushed(panel.place);
    choose(low, high);
  });
}

/** Returns how many bars: one for each whole number where there are few, so that none falls between two. */
function bars(values, [low, high]) {
  const whole = Array.prototype.every.call(values, Number.isInteger);
  return whole && high - low < MOST_BARS ? Math.max(1, high - low) : MOST_BARS;
}

function option(how, groups, edges, name, logarithmic) {
  const { soft, text } = ink(how);
  const colours = { all: soft, consistent: shown("#999933", how), inconsistent: shown(PALETTE[1], how), selected: shown(PALETTE[0], how) };
  const styles = { all: "solid", consistent: "dotted", inconsistent: "dashed", selected: "solid" };
  const step = (heights) => Array.from(edges, (edge, at) => [edge, heights[Math.min(at, heights.length - 1)]])
    .map(([edge, height]) => [edge, logarithmic && height === 0 ? 0.5 : height]);
  return {
    xAxis: { ...valueAxis(name, { kind: "linear", ends: [edges[0], edges[edges.length - 1]] }), nameGap: 26, splitLine: { show: false } },
    yAxis: { ...valueAxis("records", logarithmic ? { kind: "log" } : undefined), scale: false, ...(logarithmic ? { min: 0.5 } : {}) },
    grid: { left: 62, right: 18, top: 26, bottom: 72 },
    legend: { bottom: 0 },
    tooltip: { trigger: "axis", formatter: (items) => told(items, edges, groups) },
    series: Object.entries(groups).map(([group, heights]) => ({
      type: "line", step: "end", name: group, showSymbol: false, data: step(heights), rows: Array.from(edges, (_, at) => Math.min(at, heights.length - 1)),
      lineStyle: { color: colours[group], width: group === "all" ? 1 : 2, type: styles[group] }, itemStyle: { color: colours[group] },
      areaStyle: group === "all" ? { color: text, opacity: 0.07 } : undefined,
    })),
    brush: { toolbox: ["lineX"], xAxisIndex: 0, brushStyle: { borderColor: soft, color: "rgba(128,128,128,0.15)" }, outOfBrush: {} },
    toolbox: { right: 4, top: 0, itemSize: 14, feature: { brush: { type: ["lineX"], title: { lineX: "select values" } } } },
  };
}

function told(items, edges, groups) {
  const at = Math.min(items[0]?.dataIndex ?? 0, edges.length - 2);
  return [`${short(edges[at])} to ${short(edges[at + 1])}`, ...Object.entries(groups).map(([group, heights]) => `${group}: ${heights[at]}`)];
}
