/**
 * A part of the view: its controls, and its chart or what stands in its place: how far the slow work is, with a button
 * that stops it, or in the service's own words why there is nothing.
 */
import { element } from "fedlayers/html.js";
import { Stopped } from "fedlayers/views/heterogeneity/questions.js";

// What comes sooner needs no sign of life.
export const PATIENCE_MS = 150;

/** Whether a part of the page is in sight. @param {HTMLElement} box */
function isSeen(box) {
  const { top, bottom } = box.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** Waits until what was drawn has been painted. A page in the background paints nothing. */
function painted() {
  if (document.hidden) return Promise.resolve();
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

export class Panel {
  /** @param {string} name short, in the address of the element @param {string} title in words */
  constructor(name, title) {
    this.title = title;
    this.controls = element("div", { class: "controls" });
    this.told = element("p", { class: "told", role: "status", hidden: true });
    this.body = element("div", { class: "panel-body" });
    this.box = element("section", { class: "panel", id: `heterogeneity-${name}`, "aria-label": title }, this.controls, this.told, this.body);
    this.turn = 0;
    /** @type {?any[]} what the drawing that stands there was made of */
    this.drawn = null;
    /** @type {Map<string, any>} the controls by their labels */
    this.fields = new Map();
  }

  /**
   * Draws once what it needs is there; of several drawings the last one counts.
   * @param {(import("fedlayers/views/heterogeneity/questions.js").Question|Promise<any>|any)[]} needs
   * @param {(...answers: any[]) => void} draw
   * @param {any} [state] all else that the drawing depends on: with the same one and the same answers it stays as it is.
   */
  async show(needs, draw, state = undefined) {
    const turn = ++this.turn;
    const questions = needs.filter((need) => need?.answer);
    const waiting = setTimeout(() => turn === this.turn && this.wait(questions), PATIENCE_MS);
    try {
      const answers = await Promise.all(needs.map((need) => need?.answer ?? need));
      clearTimeout(waiting);
      if (turn !== this.turn) return;
      this.say();
      const made = state === undefined ? null : [JSON.stringify(state), ...answers];
      if (made && this.drawn && made.every((one, at) => one === this.drawn[at])) return;
      if (!isSeen(this.box)) {
        this.box.setAttribute("aria-busy", "true");
        await painted();
        if (turn !== this.turn) return;
        this.box.removeAttribute("aria-busy");
      }
      // Those of a drawing that leads to another one say nothing.
      if (made) this.drawn = made;
      await draw(...answers);
    } catch (error) {
      if (turn === this.turn) this.refuse(error, needs, draw);
    } finally {
      clearTimeout(waiting);
    }
  }

  /** Says how far the slow work is. @param {any[]} questions */
  wait(questions) {
    const tell = () => {
      const job = questions.map((one) => one.job()).filter(Boolean).sort((one, other) => ORDER[one.state] - ORDER[other.state])[0];
      const share = job?.share ? ` ${Math.round(100 * job.share)} %` : "";
      words.textContent = `${this.title}: ${job?.message || (job ? "waiting for other work" : "asking")}…${share}`;
    };
    const words = element("span", {});
    const stop = element("button", { type: "button", onclick: () => questions.forEach((one) => one.stop()) }, "Stop");
    for (const one of questions) one.watch(tell);
    tell();
    this.told.replaceChildren(words, " ", stop);
    this.told.hidden = false;
    this.told.className = "told working";
    this.box.setAttribute("aria-busy", "true");
  }

  /** @param {any} error @param {any[]} needs @param {(...answers: any[]) => void} draw */
  refuse(error, needs, draw) {
    this.drawn = null;
    this.empty();
    // A mistake of the page itself is told in the browser's console, too.
    if (!["Refusal", "Gone", "Stopped"].includes(error.name)) reportError(error);
    this.say(error instanceof Stopped ? `${this.title}: stopped.` : `${this.title}: ${error.message}`);
    if (error instanceof Stopped) {
      const again = () => this.show(needs.map((need) => need?.again?.() ?? need), draw);
      this.told.append(" ", element("button", { type: "button", onclick: again }, "Go on"));
    }
  }

  /** Says one sentence in place of the chart, or nothing. @param {string} [words] */
  say(words = "") {
    this.told.replaceChildren(words);
    this.told.hidden = !words;
    this.told.className = "told";
    this.box.removeAttribute("aria-busy");
  }

  /** Says why there is nothing to draw. @param {string} words */
  nothing(words) {
    this.drawn = null;
    this.empty();
    this.say(`${this.title}: ${words}.`);
  }

  /**
   * Offers a choice; the list is made once, its options when they change.
   * @param {string} label @param {[string, string][]} options value and text @param {string} value
   * @param {(value: string) => void} onChoice
   */
  choice(label, options, value, onChoice) {
    const list = this.field(label, () => element("select", {}));
    const known = JSON.stringify(options);
    if (list.dataset.options !== known) {
      list.replaceChildren(...options.map(([one, text]) => element("option", { value: one }, text)));
      list.dataset.options = known;
    }
    list.value = value;
    list.onchange = () => onChoice(list.value);
  }

  /**
   * Offers a number to be entered.
   * @param {string} label @param {?number} value @param {Record<string, any>} attributes of the field
   * @param {(text: string) => void} onEntry
   */
  number(label, value, attributes, onEntry) {
    const field = this.field(label, () => element("input", { type: "number", ...attributes }));
    for (const [name, text] of Object.entries(attributes)) field.setAttribute(name, String(text));
    if (field !== document.activeElement) field.value = value === null ? "" : String(value);
    field.onchange = () => onEntry(field.value);
  }

  /** Offers something that is on or off. @param {string} label @param {boolean} value @param {(on: boolean) => void} onChange */
  check(label, value, onChange) {
    const field = this.field(label, () => element("input", { type: "checkbox" }));
    field.checked = value;
    field.onchange = () => onChange(field.checked);
  }

  /** Offers something to be done. @param {string} label @param {() => void} onClick @param {boolean} [can] */
  button(label, onClick, can = true) {
    let button = this.fields.get(label);
    if (!button) {
      button = element("button", { type: "button" }, label);
      this.fields.set(label, button);
      this.controls.append(button);
    }
    button.onclick = onClick;
    button.disabled = !can;
  }

  /** Shows only these of the controls. @param {string[]} labels */
  only(labels) {
    for (const [label, field] of this.fields) (field.closest("label") ?? field).hidden = !labels.includes(label);
  }

  /** @param {string} label @param {() => HTMLElement} make @returns {any} */
  field(label, make) {
    const known = this.fields.get(label);
    if (known) return known;
    const made = make();
    this.fields.set(label, made);
    this.controls.append(element("label", {}, `${label} `, made));
    return made;
  }

  /** Takes the chart away. */
  empty() {
    this.body.hidden = true;
  }

  /** Returns the place of the chart, which is shown. */
  get place() {
    this.body.hidden = false;
    return this.body;
  }
}

const ORDER = { running: 0, waiting: 1, done: 2, failed: 2, cancelled: 2 };
