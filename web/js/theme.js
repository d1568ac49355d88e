/** Light or dark: as the system says, until the reader chooses. `theme` is told to whoever draws with colours. */
import { kept } from "fedlayers/frozen.js";

const KEY = "fedlayers_theme";
const YEAR_S = 31_536_000;
const dark = matchMedia("(prefers-color-scheme: dark)");
const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));

/** Returns `light` or `dark`. */
export function theme() {
  return document.documentElement.dataset.theme ?? "light";
}

/** Shows the page in the reader's colours and lets the button change them; a change is an event `theme` of the window. */
export function showTheme() {
  // The service writes it into the page: to look into what a browser has stored takes long, and all would wait for it.
  let chosen = document.documentElement.dataset.theme ?? (kept && stored());
  apply(chosen ?? system());
  dark.addEventListener("change", () => chosen ?? apply(system()));
  button.addEventListener("click", () => {
    chosen = theme() === "dark" ? "light" : "dark";
    store(chosen);
    apply(chosen);
  });
}

const system = () => (dark.matches ? "dark" : "light");

/** @param {string} name */
function apply(name) {
  document.documentElement.dataset.theme = name;
  button.textContent = name === "dark" ? "Light" : "Dark";
  dispatchEvent(new CustomEvent("theme", { detail: name }));
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // A page from disk may keep nothing.
  }
}

/** @param {string} name */
function store(name) {
  try {
    if (kept) localStorage.setItem(KEY, name);
    else document.cookie = `${KEY}=${name}; path=/; max-age=${YEAR_S}; samesite=strict`;
  } catch {
    // It holds for this page, then.
  }
}
