/** Light or dark: as the system says, until the reader chooses. `theme` is told to whoever draws with colours. */

const KEY = "fedlayers-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const button = /** @type {HTMLButtonElement} */ (document.getElementById("theme"));

/** Returns `light` or `dark`. */
export function theme() {
  return document.documentElement.dataset.theme ?? "light";
}

/** Shows the page in the reader's colours and lets the button change them; a change is an event `theme` of the window. */
export function showTheme() {
  apply(stored() ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => stored() ?? apply(dark.matches ? "dark" : "light"));
  button.addEventListener("click", () => {
    const other = theme() === "dark" ? "light" : "dark";
    store(other);
    apply(other);
  });
}

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
    localStorage.setItem(KEY, name);
  } catch {
    // It holds for this page, then.
  }
}
