// Lines with bands as SVG.

const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, parent, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  parent.append(element);
  return element;
}

// Runs of places one after another, or all places if gaps are to be passed over.
function unbroken(places, passGaps) {
  const runs = [];
  places.forEach((place, at) => {
    if (at && (passGaps || place === places[at - 1] + 1)) runs[runs.length - 1].push(at);
    else runs.push([at]);
  });
  return runs;
}

// view: label of the y axis, lines, scale, ticks of the x axis as [place, text], its ends, title, marked place, passGaps.
function drawChart(parent, view) {
  const box = document.createElement("figure");
  box.className = "chart";
  box.style.margin = 0;
  const longest = Math.max(...view.ticks.map(([, text]) => text.length));
  const angled = (7 * longest + 10) * view.ticks.length > 480;
  const left = 66, right = 14, top = 28, width = 560, below = angled ? 7 * longest + 26 : 44, height = 230 + top + below;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": view.label }, box);
  const bottom = height - below, ends = view.ends;
  const x = (place) => left + ((place - ends[0]) / (ends[1] - ends[0] || 1)) * (width - left - right);
  const y = (number) => bottom - share(view.scale, number) * (bottom - top);
  svg("text", { x: 4, y: 14 }, picture, `${view.label}${view.scale.logarithmic ? " · logarithmic" : ""}`);
  const ticks = ticksOf(view.scale, 6), texts = tickTexts(ticks);
  ticks.forEach((tick, number) => {
    svg("line", { class: "grid", x1: left, x2: width - right, y1: y(tick), y2: y(tick) }, picture);
    svg("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, picture, texts[number]);
  });
  for (const [place, text] of view.ticks) {
    const where = angled
      ? { transform: `translate(${x(place) + 4},${bottom + 10}) rotate(-90)`, "text-anchor": "end" }
      : { x: x(place), y: bottom + 18, "text-anchor": "middle" };
    svg("text", where, picture, text);
  }
  svg("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, picture, view.along);
  if (view.marked !== null) {
    svg("line", { class: "grid marked", x1: x(view.marked), x2: x(view.marked), y1: top, y2: bottom, "stroke-dasharray": "4 3" }, picture);
  }
  for (const line of view.lines) drawLine(picture, line, x, y, view);
  box.append(legendOf(view.lines));
  parent.append(box);
}

function drawLine(picture, line, x, y, view) {
  const colour = `var(--${line.kind})`;
  for (const run of unbroken(line.x, view.passGaps)) {
    const points = (values, places) => places.map((at) => `${x(line.x[at])},${y(values[at])}`).join(" ");
    if (line.band) {
      const outline = `${points(line.low, run)} ${points(line.high, [...run].reverse())}`;
      svg("polygon", { points: outline, fill: colour, "fill-opacity": 0.18, stroke: colour, "stroke-opacity": 0.25 }, picture);
    }
    const dashes = { solid: {}, dashed: { "stroke-dasharray": "7 4" }, dotted: { "stroke-dasharray": "2 4" } }[line.style];
    svg("polyline", { points: points(line.mean, run), fill: "none", stroke: colour, "stroke-width": 2, ...dashes }, picture);
  }
  line.x.forEach((place, at) => {
    const dot = svg("circle", { cx: x(place), cy: y(line.mean[at]), r: line.x.length > 40 ? 2 : 3.5, fill: colour }, picture);
    const band = line.band ? ` (${written(line.low[at])} to ${written(line.high[at])})` : "";
    svg("title", {}, dot, `${view.placeName(place)}, ${line.label}: ${written(line.mean[at])}${band}`);
  });
}

function legendOf(lines) {
  const legend = document.createElement("figcaption");
  legend.className = "legend";
  const entries = [...new Map(lines.map((line) => [line.label, line]))];
  for (const [label, { kind, style }] of entries) {
    const entry = document.createElement("span"), mark = document.createElement("i");
    mark.style.borderColor = `var(--${kind})`;
    mark.style.borderTopStyle = style;
    entry.append(mark, label);
    legend.append(entry);
  }
  const bands = [...new Set(lines.map((line) => line.band).filter(Boolean))];
  if (bands.length) legend.append(bands.join("; "));
  return legend;
}
