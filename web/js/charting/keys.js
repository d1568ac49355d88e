// A chart under the keyboard: arrows go from item to item and tell what it is, Enter selects it, + and - zoom.

/**
 * @param {object} held a chart of fedlayers/chart.js
 * @param {(at: {seriesIndex: number, dataIndex: number}) => void} choose
 */
export function keys(held, choose) {
  let at = null;
  const { canvas, drawing } = held;
  const tell = () => {
    drawing.dispatchAction({ type: "downplay" });
    if (!at) return drawing.dispatchAction({ type: "hideTip" });
    drawing.dispatchAction({ type: "highlight", ...at });
    drawing.dispatchAction({ type: "showTip", ...at });
    const tip = canvas.querySelector(".chart-tip");
    held.said.textContent = tip?.textContent.replaceAll("\n", ", ") ?? "";
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in ZOOMS && zoomed(drawing, ZOOMS[event.key])) return event.preventDefault();
    if (event.key === "Escape" && at) at = null;
    else if ((event.key === "Enter" || event.key === " ") && at) choose(at);
    else if (STEPS[event.key]) at = moved(reachable(held.option.series), at, STEPS[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation();
    tell();
  });
  canvas.addEventListener("blur", () => {
    if (at) drawing.dispatchAction({ type: "hideTip" });
    if (at) drawing.dispatchAction({ type: "downplay" });
    at = null;
  });
}

// How many items, and how many series, a key goes on.
const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], Home: [-Infinity, 0], End: [Infinity, 0] };

// By how much a key makes the part that is shown smaller or larger; 0 shows all.
const ZOOMS = { "+": 0.7, "=": 0.7, "-": 1 / 0.7, 0: Infinity };

/** Zooms about the middle of what is shown, as the wheel does about the pointer; says whether the chart can be zoomed. */
function zoomed(drawing, factor) {
  const shown = drawing.getOption().dataZoom ?? [];
  shown.forEach(({ start, end }, dataZoomIndex) => {
    const middle = (start + end) / 2, half = Math.min(50, Math.max(1, (factor * (end - start)) / 2));
    const low = Math.min(Math.max(0, middle - half), 100 - 2 * half);
    drawing.dispatchAction({ type: "dataZoom", dataZoomIndex, start: low, end: low + 2 * half });
  });
  return shown.length > 0;
}

/** The series that can be pointed at: number of the series and of its items, and of a curve's items where they lie along the chart. */
function reachable(series) {
  return series.map((one, index) => ({
    index, count: one.silent ? 0 : (one.rows ?? one.data)?.length ?? 0,
    along: one.type === "line" ? one.data?.map(({ value }) => value?.[0]) : undefined,
  })).filter(({ count }) => count);
}

function moved(series, at, [items, others]) {
  if (!series.length) return null;
  const place = at ? series.findIndex(({ index }) => index === at.seriesIndex) : -1;
  if (place < 0) return { seriesIndex: series[0].index, dataIndex: items === -1 || items === Infinity ? series[0].count - 1 : 0 };
  const next = series[Math.min(Math.max(place + others, 0), series.length - 1)];
  const from = others ? beside(series[place].along?.[at.dataIndex], next.along) ?? at.dataIndex : at.dataIndex;
  return { seriesIndex: next.index, dataIndex: Math.min(Math.max(from + items, 0), next.count - 1) };
}

/** Returns the item of another curve that is nearest along the chart: curves may begin at different rounds. */
function beside(x, along) {
  if (!Number.isFinite(x) || !along?.every(Number.isFinite)) return undefined;
  return along.reduce((best, other, at) => (Math.abs(other - x) < Math.abs(along[best] - x) ? at : best), 0);
}
