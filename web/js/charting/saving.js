// A chart as a file: SVG, PNG or CSV.

import { withLegend } from "fedlayers/charting/legend.js";
import { heightOf, optionOf, theme } from "fedlayers/charting/look.js";
import { ink } from "fedlayers/colours.js";

const TITLE_PX = 30, NOTE_PX = 22, DENSE = 2;

/**
 * Put the buttons that save a chart into its head.
 * @param {HTMLElement} head
 * @param {object} held a chart of fedlayers/chart.js
 * @returns {(title: string) => void} names what the buttons save
 */
export function saving(head, held) {
  const box = Object.assign(document.createElement("div"), { className: "chart-saving" });
  const kinds = { SVG: asSvg, PNG: asPng, CSV: asCsv };
  const buttons = Object.entries(kinds).map(([kind, make]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: kind });
    button.addEventListener("click", async () => offered(await make(held), `${fileName(held.spec.title)}.${kind.toLowerCase()}`));
    return button;
  });
  box.append(...buttons);
  head.append(box);
  return (title) => buttons.forEach((button) => button.setAttribute("aria-label", `${button.textContent}: save ${title}`));
}

/** Columns of one length as CSV (RFC 4180); what is missing is empty. @param {Record<string, ArrayLike<any>>} columns */
export function csv(columns) {
  const names = Object.keys(columns), count = Math.max(0, ...names.map((name) => columns[name].length));
  const cell = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    const text = String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = Array.from({ length: count }, (_, row) => names.map((name) => cell(columns[name][row])).join(","));
  return [names.map(cell).join(","), ...lines, ""].join("\r\n");
}

function asCsv({ spec }) {
  const { table: { columns }, rows } = spec;
  const own = rows ? Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, rows.map((row) => values[row])])) : columns;
  return new Blob([csv(own)], { type: "text/csv" });
}

/** The picture as it is now, also zoomed, drawn once more elsewhere; a legend that has pages on screen stands there whole. */
function again({ canvas, drawing, spec }, renderer) {
  const place = document.createElement("div"), zoom = drawing.getOption().dataZoom, shown = optionOf(spec), width = drawing.getWidth();
  const { option, more } = withLegend(shown, width, canvas, { most: Infinity }), high = heightOf(spec) + more;
  const other = echarts.init(place, theme(), { renderer, width, height: high, devicePixelRatio: DENSE });
  other.setOption({ ...option, toolbox: { show: false }, ...(zoom?.length ? { dataZoom: zoom } : {}) });
  other.getZr().flush();
  return { other, place, height: high };
}

function asVectors(held) {
  const { other, place, height } = again(held, "svg"), picture = place.querySelector("svg").cloneNode(true);
  other.dispose();
  return { picture, height };
}

function asSvg(held) {
  const { text, soft, page } = ink(), { picture: inner, height } = asVectors(held), notes = held.notes.textContent;
  const width = held.drawing.getWidth(), whole = height + TITLE_PX + (notes ? NOTE_PX : 0);
  const made = (name, attributes, words = "") => {
    const element = document.createElementNS(inner.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = words;
    return element;
  };
  const outer = made("svg", { width, height: whole, viewBox: `0 0 ${width} ${whole}`, "font-family": "sans-serif", role: "img" });
  outer.append(made("title", {}, held.spec.title), made("rect", { width, height: whole, fill: page }));
  outer.append(made("text", { x: 10, y: 20, "font-size": 14, fill: text }, held.spec.title));
  inner.setAttribute("y", TITLE_PX);
  inner.removeAttribute("style");
  outer.append(inner);
  if (notes) outer.append(made("text", { x: 10, y: whole - 7, "font-size": 11, fill: soft }, notes));
  return new Blob([new XMLSerializer().serializeToString(outer)], { type: "image/svg+xml" });
}

function asPng(held) {
  const { other, height } = again(held, "canvas"), { text, soft, page } = ink();
  const width = held.drawing.getWidth(), notes = held.notes.textContent;
  const canvas = document.createElement("canvas"), whole = height + TITLE_PX + (notes ? NOTE_PX : 0);
  canvas.width = width * DENSE;
  canvas.height = whole * DENSE;
  const pen = canvas.getContext("2d");
  pen.scale(DENSE, DENSE);
  pen.fillStyle = page;
  pen.fillRect(0, 0, width, whole);
  pen.drawImage(other.renderToCanvas({ pixelRatio: DENSE, excludeComponents: ["toolbox"] }), 0, TITLE_PX, width, height);
  other.dispose();
  const font = getComputedStyle(held.canvas).fontFamily;
  for (const [words, size, colour, y] of [[held.spec.title, 14, text, 20], [notes, 11, soft, whole - 7]]) {
    pen.font = `${size}px ${font}`;
    pen.fillStyle = colour;
    pen.fillText(words, 10, y, width - 20);
  }
  return new Promise((resolve) => { canvas.toBlob(resolve, "image/png"); });
}

function offered(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  // Not at once: the browser has yet to read it.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** The words of a title as a file's name. */
function fileName(title) {
  return title.normalize("NFKD").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 80).toLowerCase() || "chart";
}
