/** Clusters of the inconsistent records as small multiples: how dense all records lie, and what surrounds the cluster. */
import { chart } from "fedlayers/chart.js";
import { ink } from "fedlayers/colours.js";
import { element, short } from "fedlayers/html.js";
import { axes, box } from "fedlayers/views/heterogeneity/cells.js";
import { density, hull, unitOf } from "fedlayers/views/heterogeneity/geometry.js";
import { colours } from "fedlayers/views/heterogeneity/overview.js";
import { picture } from "fedlayers/views/heterogeneity/pictures.js";

const MOST_SHOWN = 24, BINS = 32, HEAD_PX = 30, CELL_PX = 150;

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawClusters(panel, known, select) {
  const needs = [known.clusters, known.clusterTable, known.scores, known.selected];
  return panel.show(needs, ({ columns: of }, table, scores, selected) => {
    const clusters = membersOf(of, table, new Set(selected));
    const shown = clusters.slice(0, MOST_SHOWN);
    const choose = (cluster) => select({ records: `cluster:${cluster}` });
    buttons(panel, clusters, known.settings.records, choose);
    const points = unitOf(scores);
    const across = Math.min(4, Math.max(2, shown.length));
    const rows = Math.ceil(shown.length / across);
    chart(panel.place, {
      title: `${clusters.length === 1 ? "1 cluster" : `${clusters.length} clusters`} of inconsistent records`,
      label: clusters.map(words).join("; "),
      height: rows * (across > 2 ? CELL_PX : 220) + 12,
      option: (how) => option(how, of, shown, points, [across, rows], known.settings.records),
      table: { columns: asColumns(clusters), facts: table.facts },
      notes: [
        table.facts.p === null ? table.facts.reason : `test of "no clusters": p = ${short(table.facts.p, 2)}`,
        clusters.some(({ stability }) => Number.isFinite(stability)) ? "stability: Jaccard index among resampled records" : "",
        clusters.length > MOST_SHOWN ? `the ${MOST_SHOWN} largest of ${clusters.length} are drawn` : "",
      ],
      onSelect: ({ row }) => row !== undefined && choose(row),
    });
  });
}

/** Returns size, accuracy, stability and records of each cluster, and how many of these are selected. */
function membersOf({ example, cluster }, { columns, length }, selected) {
  const found = Array.from({ length }, (_, at) => ({
    cluster: at, size: columns.size[at], accuracy: columns.accuracy[at], stability: columns.stability[at], rows: [], overlap: 0,
  }));
  for (let at = 0; at < example.length; at += 1) {
    const one = found[cluster[at]];
    one.rows.push(example[at]);
    if (selected.has(example[at])) one.overlap += 1;
  }
  return found;
}

function asColumns(clusters) {
  const names = ["cluster", "size", "accuracy", "stability", "overlap"];
  return Object.fromEntries(names.map((name) => [name, clusters.map((one) => one[name])]));
}

const percent = (share) => (Number.isFinite(share) ? `${Math.round(100 * share)} %` : "no value");

function words({ cluster, size, accuracy, stability }) {
  return `cluster ${cluster}: ${size} records, federated accuracy ${percent(accuracy)}${Number.isFinite(stability) ? `, stability ${short(stability, 2)}` : ""}`;
}

/** The clusters as buttons, which keys reach. */
function buttons(panel, clusters, records, choose) {
  let list = panel.controls.querySelector(".choices");
  if (!list) panel.controls.append((list = element("div", { class: "choices", role: "group", "aria-label": "clusters" })));
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.cluster : undefined;
  list.replaceChildren(...clusters.map((one) => {
    const pressed = records.kind === "cluster" && records.cluster === one.cluster;
    return element("button", {
      type: "button", "aria-pressed": String(pressed), "aria-label": words(one), "data-cluster": one.cluster, onclick: () => choose(one.cluster),
    }, `${one.cluster} (${one.size})`);
  }));
  list.querySelector(`[data-cluster="${focused}"]`)?.focus();
}

function option(how, of, clusters, points, [across, down], records) {
  const { text, soft, rule } = ink(how);
  const { inconsistent, selected } = colours(how);
  const clouds = cloudsOf(of, clusters, points, how);
  const corners = clusters.map(({ rows }) => hull(rows.map((row) => [points.x[row], points.y[row]])));
  return {
    ...axes(across, Math.max(down, 1)),
    tooltip: { formatter: ({ dataIndex }) => [...words(clusters[dataIndex]).split(/[:,] /), `${clusters[dataIndex].overlap} selected`] },
    series: [{
      type: "custom", name: "clusters", rows: clusters.map((one) => one.cluster), data: clusters.map((_, at) => [at % across, Math.floor(at / across)]),
      renderItem: ({ dataIndex }, api) => {
        const one = clusters[dataIndex];
        const [column, row] = [api.value(0), api.value(1)];
        const cell = box(api, column, row, HEAD_PX);
        const place = (point) => [cell.x + point[0] * cell.width, cell.y + (1 - point[1]) * cell.height];
        const isChosen = records.kind === "cluster" && records.cluster === one.cluster;
        const line = (y, words, fill) => ({ type: "text", style: { x: cell.x, y: cell.y - HEAD_PX + y, text: words, fill, fontSize: 11, overflow: "truncate", width: cell.width } });
        return {
          type: "group",
          children: [
            { type: "rect", shape: cell, style: { fill: "transparent", stroke: isChosen ? selected : rule, lineWidth: isChosen ? 2.5 : 1 } },
            { type: "image", style: { image: clouds[dataIndex], ...cell } },
            { type: "polygon", shape: { points: corners[dataIndex].map(place) }, style: { fill: "none", stroke: inconsistent, lineWidth: 1.5 } },
            line(0, `cluster ${one.cluster} · ${one.size} records`, text),
            line(14, `accuracy ${percent(one.accuracy)}${one.overlap ? ` · ${one.overlap} selected` : ""}`, soft),
          ],
        };
      },
    }],
  };
}

/** @type {WeakMap<any, {how: string, points: any, clouds: HTMLCanvasElement[]}>} the last pictures of each answer */
const drawn = new WeakMap();

/** Returns for each cluster a picture of how dense all records lie, in grey, and those of the cluster. */
function cloudsOf(of, clusters, points, how) {
  const known = drawn.get(of);
  if (known?.how === how && known.points === points && known.clouds.length === clusters.length) return known.clouds;
  const grey = how === "dark" ? 235 : 40;
  const own = [1, 3, 5].map((at) => parseInt(colours(how).inconsistent.slice(at, at + 2), 16));
  const all = density(points, BINS);
  const most = Math.sqrt(Math.max(1, ...all));
  const clouds = clusters.map(({ rows }) => {
    const counts = new Float64Array(BINS * BINS);
    const within = (value) => Math.min(Math.floor(value * BINS), BINS - 1);
    for (const row of rows) counts[within(points.y[row]) * BINS + within(points.x[row])] += 1;
    // Row 0 of the picture is on top, row 0 of the counts below.
    return picture(BINS, BINS, (at) => {
      const place = (BINS - 1 - Math.floor(at / BINS)) * BINS + (at % BINS);
      if (counts[place]) return [...own, 255];
      return [grey, grey, grey, all[place] ? 25 + (130 * Math.sqrt(all[place])) / most : 0];
    });
  });
  drawn.set(of, { how, points, clouds });
  return clouds;
}
