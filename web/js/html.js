/** Elements, without a way to write markup: what comes from runs is only ever text. */

/**
 * Returns an element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `on…` are listeners; true is an attribute without a value, false none.
 * @param {...(Node|string|number|null|undefined|(Node|string|number|null|undefined)[])} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined).map(asNode));
  return made;
}

/** @param {Node|string|number} child */
function asNode(child) {
  return child instanceof Node ? child : String(child);
}

/**
 * Returns a labelled list to choose from.
 * @param {string} label @param {[string, string][]} options value and text @param {string} chosen
 * @param {(value: string) => void} onChoice
 */
export function choice(label, options, chosen, onChoice) {
  const list = element(
    "select",
    { onchange: (event) => onChoice(event.target.value) },
    options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)),
  );
  return element("label", {}, `${label} `, list);
}

/**
 * Fills a place anew, unless it is filled as it should be: what a reader holds open or types in stays.
 * @param {HTMLElement} place @param {any} state what the contents depend on @param {() => Node[]} make
 */
export function filled(place, state, make) {
  const key = JSON.stringify(state);
  if (place.filledWith === key) return;
  place.filledWith = key;
  place.replaceChildren(...make());
}

/** Says what is wrong, a paragraph each; nothing where nothing is. @param {HTMLElement} place @param {string[]} sentences */
export function tellAll(place, sentences) {
  filled(place, sentences, () => sentences.map((sentence) => element("p", { class: "told", role: "alert" }, sentence)));
}

/** Returns a number in a few letters: 4 digits, "–" for none. @param {?number} value @param {number} [digits] */
export function short(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value).replace("-", "−");
  const size = Math.abs(value);
  return typeset(size >= 1e6 || size < 1e-3 ? value.toExponential(digits - 2) : String(Number(value.toPrecision(digits))));
}

/** Returns the text of a number with a minus sign that is as wide as a digit. @param {string} text */
export function typeset(text) {
  return text.replace("-", "−").replace("e−", "e-").replace("e+", "e");
}

/** Returns seconds in words: 45 s, 3 min 20 s, 2 h 5 min. @param {?number} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const [minutes, rest] = [Math.floor(seconds / 60), Math.round(seconds % 60)];
  if (minutes < 60) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
