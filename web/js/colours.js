// Colours of charts: those of the figures, on light and on dark pages.

/** Okabe & Ito 2008, as in fedlayers/figures/drawing/style.py: told apart with every kind of colour vision. */
export const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933"];

/** ColorBrewer's YlGnBu from 5 % to 95 %, as in fedlayers/figures/drawing/heat_maps.py: light to dark. */
export const SEQUENTIAL = [
  "#f8fcca", "#f0f9b7", "#e2f4b2", "#d0edb3", "#b9e4b5", "#97d6b9", "#78cbbc", "#5dc0c0", "#40b5c4", "#31a5c2", "#2094c0",
  "#1f7eb7", "#2166ac", "#2352a3", "#243f99", "#203089", "#13266f",
];

/** ColorBrewer's RdBu, blue to red through white, as in fedlayers/figures/chain/correlation_matrix.py. */
export const DIVERGING = [
  "#053061", "#175290", "#2a71b2", "#3f8ec0", "#6bacd1", "#9bc9e0", "#c2ddec", "#e0ecf3", "#f7f6f6", "#fbe5d8", "#fbccb4",
  "#f5aa89", "#e48066", "#d05548", "#ba2832", "#930e26", "#67001f",
];

/** Colours of moments, and of the server's test set, as in fedlayers/figures/drawing/style.py. */
const MOMENTS = { start: "#666666", after_local: PALETTE[0], after_aggregate: PALETTE[1], final: PALETTE[2], server: "#000000" };
/** Tiers of classes, as in metrics/tracking/drawing.py. */
const TIERS = { head: PALETTE[1], medium: PALETTE[0], tail: PALETTE[2], unknown: "#888888" };

// Black and dark grey do not show on a dark page; blue there needs more light to have a contrast of 4.5.
const ON_DARK = { "#000000": "#e7eaee", "#666666": "#aaaaaa", "#0072B2": "#3d9ad6" };

/** @typedef {{text: string, soft: string, rule: string, panel: string, page: string, empty: string}} Ink */
// As in page.css.
const INK = {
  light: { text: "#1c1f24", soft: "#59616c", rule: "#d5d9df", panel: "#f5f6f8", page: "#ffffff", empty: "#dddddd" },
  dark: { text: "#e7eaee", soft: "#a5aeba", rule: "#3a414b", panel: "#1d2127", page: "#14171b", empty: "#4a525c" },
};

const preferred = window.matchMedia("(prefers-color-scheme: dark)");

/** @returns {"light" | "dark"} how the page looks: what its `data-theme` says, else what the reader prefers. */
export function scheme() {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : preferred.matches ? "dark" : "light";
}

/** Calls back whenever the page turns light or dark. @param {() => void} listener */
export function onScheme(listener) {
  let before = scheme();
  const look = () => {
    if (scheme() === before) return;
    before = scheme();
    listener();
  };
  preferred.addEventListener("change", look);
  new MutationObserver(look).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}

/** @returns {Ink} the colours of texts, rules and grounds. */
export const ink = (how = scheme()) => INK[how];

/** A colour of the figures as it is shown on this page. @param {string} colour @returns {string} */
export function shown(colour, how = scheme()) {
  return how === "dark" ? ON_DARK[colour] ?? colour : colour;
}

/** The colour of the k-th of several things. @param {number} place @returns {string} */
export const categorical = (place, how = scheme()) => shown(PALETTE[place % PALETTE.length], how);

/** The colour of a moment (`after_local`, …), of `server`, or of a tier of classes; of anything else null. */
export function known(kind, how = scheme()) {
  const colour = MOMENTS[kind] ?? TIERS[kind];
  return colour ? shown(colour, how) : null;
}

/** The colour at a share of a scale. @param {string[]} stops @param {number} share 0 to 1 @returns {string} #rrggbb */
export function mixed(stops, share) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1), below = Math.min(Math.floor(at), stops.length - 2);
  const part = (colour, k) => parseInt(colour.slice(1 + 2 * k, 3 + 2 * k), 16);
  const parts = [0, 1, 2].map((k) => {
    const from = part(stops[below], k);
    return Math.round(from + (at - below) * (part(stops[below + 1], k) - from)).toString(16).padStart(2, "0");
  });
  return `#${parts.join("")}`;
}

/** Black or white, whichever can be read on a colour (relative luminance of WCAG 2). @param {string} colour #rrggbb */
export function readableOn(colour) {
  const linear = [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? "#000000" : "#ffffff";
}
