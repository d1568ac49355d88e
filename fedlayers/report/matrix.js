// A matrix between clients as a heat map on a canvas: what is alike is dark, what has no value is hatched.

// ColorBrewer's YlGnBu, of which figures use the middle 90 %.
const COLOURS = [
  [255, 255, 217], [237, 248, 177], [199, 233, 180], [127, 205, 187], [65, 182, 196], [29, 145, 192], [34, 94, 168],
  [37, 52, 148], [8, 29, 88],
];
const FONT = '12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif';
const WIDEST = 620;

function colourOf(darkness) {
  const at = (0.05 + 0.9 * darkness) * (COLOURS.length - 1), below = Math.min(Math.floor(at), COLOURS.length - 2);
  const mixed = COLOURS[below].map((part, i) => Math.round(part + (at - below) * (COLOURS[below + 1][i] - part)));
  return `rgb(${mixed.join(",")})`;
}

function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// The number of the cell of two clients, see fedlayers/report/matrices.py; clients are places among those shown.
function cellOf(matrix, clients, roundPlace, client, other) {
  if (!matrix.symmetric) return roundPlace * clients ** 2 + client * clients + other;
  const [i, j] = client < other ? [client, other] : [other, client];
  return (roundPlace * clients * (clients + 1)) / 2 + (j * (j + 1)) / 2 + i;
}

// So many digits that hundredths of the scale can be told apart.
function digitsFor(scale) {
  if (scale.logarithmic || !(scale.high > scale.low)) return 3;
  return Math.max(2, Math.ceil(Math.log10((100 * Math.max(Math.abs(scale.low), Math.abs(scale.high))) / (scale.high - scale.low))));
}

// Places of clients in an order: groups one after another, those without a group last.
function arranged(order, clients) {
  const places = Array.from({ length: clients }, (_, place) => place);
  if (!order.groups.length) return places;
  const rank = (place) => order.groups[place] === "no group";
  const compare = (a, b) => order.groups[a].localeCompare(order.groups[b], "en", { numeric: true });
  return places.sort((a, b) => rank(a) - rank(b) || compare(a, b) || a - b);
}

function hatching(context) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = cssColour("empty");
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = cssColour("hatch");
  pen.beginPath();
  for (const shift of [-6, 0, 6]) { pen.moveTo(shift - 1, 7); pen.lineTo(shift + 7, -1); }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// Draws one round and returns what tells the client and the other under a pointer, as places, or null beside the matrix.
function drawMatrix(canvas, view) {
  const { matrix, names, groups, places } = view;
  const n = places.length, context = canvas.getContext("2d");
  context.font = FONT;
  const texts = places.map((place) => shortened(names[place]));
  const longest = Math.max(...texts.map((text) => context.measureText(text).width));
  const left = Math.ceil(longest) + 34, right = 116, top = groups.length ? 22 : 6;
  const side = Math.max(120, Math.min(WIDEST, Math.floor(canvas.parentElement.clientWidth - left - right)));
  const cell = side / n, flat = longest + 8 <= cell * stepFor(14, cell);
  const bottom = (flat ? 14 : longest) + 34;
  const width = left + side + right, height = top + side + bottom, dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.font = FONT;
  const frame = { context, left, top, side, cell, n, flat, texts, longest, height };
  drawCells(frame, view);
  drawGroups(frame, groups, places);
  drawNames(frame, matrix.symmetric);
  drawColours(frame, view);
  return (x, y) => {
    const across = Math.floor((x - left) / cell), down = Math.floor((y - top) / cell);
    const inside = across >= 0 && across < n && down >= 0 && down < n;
    return inside ? { client: places[down], other: places[across] } : null;
  };
}

function drawCells({ context, left, top, side, cell, n }, { matrix, places, roundPlace, scale, darkIsLow }) {
  context.fillStyle = hatching(context);
  context.fillRect(left, top, side, side);
  const value = column(matrix.columns.value);
  const digits = digitsFor(scale), widest = context.measureText(written(scale.low, digits)).width;
  const numbered = Math.max(widest, context.measureText(written(scale.high, digits)).width) + 8 <= cell;
  for (let down = 0; down < n; down += 1) {
    for (let across = 0; across < n; across += 1) {
      const number = value(cellOf(matrix, n, roundPlace, places[down], places[across]));
      const known = Number.isFinite(number), itself = across === down && matrix.itself !== null;
      if (!known && !itself) continue;
      const darkness = known ? (darkIsLow ? 1 - share(scale, number) : share(scale, number)) : 0;
      context.fillStyle = known ? colourOf(darkness) : cssColour("panel");
      // Whole pixels: no seams between cells.
      const x = Math.round(left + across * cell), y = Math.round(top + down * cell);
      const beyondX = Math.round(left + (across + 1) * cell), beyondY = Math.round(top + (down + 1) * cell);
      context.fillRect(x, y, beyondX - x, beyondY - y);
      if (!numbered || !known) continue;
      context.fillStyle = darkness > 0.55 ? "#ffffff" : "#111111";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(written(number, digits), left + (across + 0.5) * cell, top + (down + 0.5) * cell);
    }
  }
}

function drawGroups({ context, left, top, side, cell }, groups, places) {
  if (!groups.length) return;
  context.strokeStyle = cssColour("text");
  context.fillStyle = cssColour("text");
  context.textAlign = "center";
  context.textBaseline = "bottom";
  for (let begin = 0; begin < places.length; ) {
    let end = begin;
    while (end < places.length && groups[places[end]] === groups[places[begin]]) end += 1;
    const name = groups[places[begin]], from = left + begin * cell, to = left + end * cell;
    const fitting = [name, name.split(" ").pop()].find((text) => context.measureText(text).width + 4 <= to - from);
    if (fitting) context.fillText(fitting, (from + to) / 2, top - 4);
    if (end < places.length) {
      context.beginPath();
      context.moveTo(to, top); context.lineTo(to, top + side);
      context.moveTo(left, top + end * cell); context.lineTo(left + side, top + end * cell);
      context.stroke();
    }
    begin = end;
  }
}

function drawNames({ context, left, top, side, cell, n, flat, texts, longest, height }, symmetric) {
  const step = stepFor(14, cell);
  context.fillStyle = cssColour("text");
  for (let place = 0; place < n; place += step) {
    const middle = (place + 0.5) * cell;
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillText(texts[place], left - 6, top + middle);
    context.save();
    context.translate(left + middle, top + side + 6);
    if (!flat) context.rotate(-Math.PI / 2);
    context.textAlign = flat ? "center" : "right";
    context.textBaseline = flat ? "top" : "middle";
    context.fillText(texts[place], 0, 0);
    context.restore();
  }
  context.fillStyle = cssColour("soft");
  context.textAlign = "center";
  context.textBaseline = "bottom";
  context.fillText(symmetric ? "client" : "compared with client", left + side / 2, height - 4);
  context.save();
  context.translate(left - longest - 12, top + side / 2);
  context.rotate(-Math.PI / 2);
  context.fillText("client", 0, 0);
  context.restore();
}

function drawColours({ context, left, top, side }, { matrix, scale, darkIsLow }) {
  if (!Number.isFinite(scale.low)) return;
  const x = left + side + 18, thick = 12;
  for (let row = 0; row < side; row += 1) {
    const at = 1 - (row + 0.5) / side;
    context.fillStyle = colourOf(scale.high === scale.low ? 0.5 : darkIsLow ? 1 - at : at);
    context.fillRect(x, top + row, thick, 1.5);
  }
  const ticks = ticksOf(scale, 6), texts = tickTexts(ticks);
  context.fillStyle = cssColour("text");
  context.strokeStyle = cssColour("text");
  context.textAlign = "left";
  context.textBaseline = "middle";
  ticks.forEach((tick, number) => {
    const y = top + (1 - share(scale, tick)) * side;
    context.fillRect(x + thick, y - 0.5, 4, 1);
    context.fillText(texts[number], x + thick + 7, Math.min(Math.max(y, top + 6), top + side - 6));
  });
  context.save();
  context.translate(x + thick + 20 + Math.max(...texts.map((text) => context.measureText(text).width)), top + side / 2);
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillStyle = cssColour("soft");
  context.fillText(matrix.label, 0, 0);
  context.restore();
}
