/** The way of the parameters: the server's models in the plane in which they vary most, and clients' updates on it. */
import { chart } from "fedlayers/chart.js";
import { DIVERGING, ink, mixed, SEQUENTIAL } from "fedlayers/colours.js";
import { valueAxis } from "fedlayers/marks/axes.js";
import { short } from "fedlayers/html.js";

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 */
export function drawParameters(panel, known, select) {
  const { settings } = known;
  return panel.show([known.parameters], ({ columns, facts, length }) => {
    const points = Array.from({ length }, (_, row) => ({
      row, round: columns.round[row], owner: columns.owner[row], x: columns.x[row], y: columns.y[row], cosine: columns.cosine[row], distance: columns.distance[row],
    }));
    const server = points.filter((point) => point.owner === "server");
    const arrows = arrowsOf(points, server, settings);
    const [first, second] = facts.explained.map((share) => `${Math.round(100 * share)} %`);
    chart(panel.place, {
      title: `The way of the parameters, ${settings.layer === "All" ? "all layers" : `layer ${settings.layer}`}`,
      label: `${server.length} models of the server; ${arrows.length} updates of clients`,
      height: 340,
      option: (how) => option(how, server, arrows, settings, [first, second]),
      table: { columns, facts },
      notes: [
        `${facts.sampled} of the parameters stand for all`,
        arrows.length ? "arrows: clients' updates, from the server's model that they began with" : "updates of clients need their models: snapshots.clients=true keeps them",
        settings.client === null && arrows.length ? `round ${settings.round} of every client` : "",
      ],
      onSelect: ({ row, series }) => {
        const point = points[row];
        if (!point) return;
        select(series === "updates" ? { round: point.round, client: Number(point.owner) } : point.round > 0 ? { round: point.round } : {});
      },
    });
  }, [settings.client, settings.round, settings.layer]);
}

/** Returns each update as an arrow: of the chosen client in all rounds, of all clients in the chosen round. */
function arrowsOf(points, server, { client, round }) {
  const before = new Map(server.map((point) => [point.round, point]));
  return points
    .filter((point) => point.owner !== "server" && (client === null ? point.round === round : Number(point.owner) === client))
    .map((point) => ({ ...point, from: before.get(point.round - 1) }))
    .filter((arrow) => arrow.from);
}

/** Cosines from -1 to 1: blue where an update goes along with the server's step, red where it goes against it. */
const shadeOf = (cosine) => mixed(DIVERGING, (1 - cosine) / 2);

function option(how, server, arrows, settings, [first, second]) {
  const { text, soft } = ink(how);
  const last = server.at(-1)?.round || 1;
  const shade = (round) => mixed(SEQUENTIAL, 0.25 + (0.75 * round) / last);
  const ring = server.filter((point) => point.round === settings.round);
  return {
    xAxis: { ...valueAxis(`component 1 (${first} of the variance)`), nameGap: 26, splitLine: { show: false } },
    yAxis: { ...valueAxis(`component 2 (${second})`), splitLine: { show: false } },
    grid: { left: 66, right: 84, top: 14, bottom: 46 },
    legend: { show: false },
    visualMap: {
      type: "continuous", min: -1, max: 1, seriesIndex: [2], dimension: 2, calculable: false, right: 2, top: "middle", itemHeight: 120, itemWidth: 12,
      inRange: { color: DIVERGING.toReversed() }, text: ["cosine 1", "−1"], formatter: (value) => short(value, 2),
    },
    dataZoom: [{ type: "inside", xAxisIndex: 0, filterMode: "none" }, { type: "inside", yAxisIndex: 0, filterMode: "none" }],
    tooltip: { formatter: ({ seriesName, dataIndex }) => told(seriesName === "updates" ? arrows[dataIndex] : (seriesName === "chosen" ? ring : server)[dataIndex], settings.names) },
    series: [
      { type: "line", name: "server's way", silent: true, showSymbol: false, lineStyle: { color: soft, width: 1 }, data: server.map(({ x, y }) => [x, y]) },
      {
        type: "scatter", name: "server", rows: server.map(({ row }) => row), symbolSize: 9, z: 3,
        data: server.map(({ x, y, round }) => ({ value: [x, y], itemStyle: { color: shade(round), borderColor: soft, borderWidth: 1 } })),
      },
      {
        type: "custom", name: "updates", rows: arrows.map(({ row }) => row), z: 4, encode: { x: 0, y: 1 },
        data: arrows.map(({ x, y, cosine }) => [x, y, cosine]), renderItem: ({ dataIndex }, api) => arrow(arrows[dataIndex], api, soft),
      },
      {
        type: "scatter", name: "chosen", rows: ring.map(({ row }) => row), symbolSize: 16, z: 5,
        itemStyle: { color: "transparent", borderColor: text, borderWidth: 2 }, data: ring.map(({ x, y }) => [x, y]),
      },
    ],
  };
}

function arrow({ from, x, y, cosine }, api, soft) {
  const [[x1, y1], [x2, y2]] = [api.coord([from.x, from.y]), api.coord([x, y])];
  const angle = Math.atan2(y2 - y1, x2 - x1);
  const corner = (turn) => [x2 - 9 * Math.cos(angle + turn), y2 - 9 * Math.sin(angle + turn)];
  const colour = Number.isFinite(cosine) ? shadeOf(cosine) : soft;
  return {
    type: "group",
    children: [
      { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: soft, lineWidth: 3.4 } },
      { type: "line", shape: { x1, y1, x2, y2 }, style: { stroke: colour, lineWidth: 2.4 } },
      { type: "polygon", shape: { points: [[x2, y2], corner(0.45), corner(-0.45)] }, style: { fill: colour, stroke: soft, lineWidth: 0.5 } },
    ],
  };
}

function told(point, names) {
  if (!point) return "";
  const who = point.owner === "server" ? "the server's model" : `client ${names[point.owner] ?? point.owner}`;
  return [
    `round ${point.round}: ${who}`,
    ...(Number.isFinite(point.cosine) ? [`cosine with the server's step: ${short(point.cosine, 3)}`] : []),
    `distance off the plane: ${short(point.distance, 3)}`,
  ];
}
