/** Annotations: what somebody noted about some records; their intersection or union can be selected, new ones recorded. */
import { ask, forgetAnswer, pathOf } from "fedlayers/data.js";
import { element } from "fedlayers/html.js";
import { notesAbout } from "fedlayers/views/heterogeneity/records.js";

/**
 * @param {import("fedlayers/views/heterogeneity/panel.js").Panel} panel
 * @param {import("fedlayers/views/heterogeneity/known.js").Known} known
 * @param {(patch: Record<string, any>) => void} select
 * @param {() => void} changed told when annotations were added or deleted.
 */
export function drawAnnotations(panel, known, select, changed) {
  const { settings } = known;
  const form = formOf(panel);
  form.onsubmit = (event) => {
    event.preventDefault();
    record(panel, form, settings, form.rows ?? [], changed);
  };
  return panel.show([known.annotations], (notes) => {
    const own = notesAbout(notes, settings);
    listed(panel, own, notes.length - own.length, settings, select, changed);
    return known.selected.answer.then((rows) => counted(form, own, rows), () => counted(form, own, []));
  });
}

/** The form is made once: what is being written in it stays. */
function formOf(panel) {
  if (panel.form) return panel.form;
  const text = element("input", { type: "text", maxlength: 10_000, size: 40, placeholder: "what these records have in common" });
  const button = element("button", { type: "submit" }, "Record");
  panel.count = element("output", {});
  panel.form = element("form", { class: "note" }, element("label", {}, "annotation ", text), button, " ", panel.count);
  Object.assign(panel.form, { text, button, count: panel.count });
  panel.list = element("ul", { class: "notes" });
  panel.problem = element("p", { role: "alert", class: "told", hidden: true });
  panel.place.append(panel.form, panel.problem, panel.list);
  return panel.form;
}

function counted(form, notes, rows) {
  form.rows = rows;
  form.button.disabled = !rows.length;
  form.count.textContent = rows.length ? `about ${rows.length} selected records` : "select records to write about them";
  for (const line of form.parentElement.querySelectorAll("[data-note]")) {
    const note = notes.find((one) => one.id === line.dataset.note);
    const here = new Set(note?.examples ?? []);
    line.querySelector(".overlap").textContent = rows.length ? `, ${rows.filter((row) => here.has(row)).length} of them selected` : "";
  }
}

function listed(panel, notes, others, settings, select, changed) {
  const { records } = settings;
  // What is no longer there goes out of the selection with the next click.
  const ids = records.kind === "notes" ? records.ids.filter((id) => notes.some((note) => note.id === id)) : [];
  const mode = records.kind === "notes" ? records.mode : "union";
  const choose = (ids, mode) => select({ records: ids.length ? `notes:${mode}:${ids.join(",")}` : null });
  panel.choice("several together", [["union", "union"], ["intersection", "intersection"]], mode, (mode) => choose(ids, mode));
  panel.only(notes.length > 1 ? ["several together"] : []);
  const focused = panel.list.contains(document.activeElement) ? document.activeElement.dataset.id : undefined;
  panel.list.replaceChildren(
    ...notes.map((note) => line(note, ids.includes(note.id), {
      toggle: (on) => choose(on ? [...ids, note.id] : ids.filter((id) => id !== note.id), mode),
      look: () => select({ records: `notes:union:${note.id}`, round: note.round ?? settings.round }),
      remove: () => removed(panel, settings, note, changed),
    })),
    ...(notes.length ? [] : [element("li", {}, "no annotation about these records")]),
    ...(others ? [element("li", { class: "others" }, `${others} about other clients or records`)] : []),
  );
  if (focused) panel.list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  panel.list.charted = { columns: { id: notes.map((note) => note.id), text: notes.map((note) => note.text) }, facts: {} };
}

function line(note, isChosen, { toggle, look, remove }) {
  const when = note.round === null ? "" : `round ${note.round}, `;
  return element("li", { "data-note": note.id },
    element("label", {}, element("input", {
      type: "checkbox", checked: isChosen, "data-id": note.id, onchange: (event) => toggle(event.target.checked), "aria-label": `select the records of: ${note.text}`,
    })), " ",
    element("span", { class: "text" }, note.text), " ",
    element("small", {}, `${when}${note.examples.length} records`, element("span", { class: "overlap" })), " ",
    element("button", { type: "button", onclick: look, "aria-label": `show: ${note.text}` }, "Show"), " ",
    element("button", { type: "button", onclick: remove, "aria-label": `delete: ${note.text}` }, "Delete"));
}

async function record(panel, form, settings, rows, changed) {
  const text = form.text.value.trim();
  if (!text || !rows.length) return;
  const { client, round, inputs } = settings;
  const view = location.hash.slice(0, 2000);
  await tried(panel, async () => {
    const path = pathOf("runs", settings.run, "annotations");
    const body = { text, client, round, inputs, examples: rows, view };
    await ask(path, {}, { body });
    // The same words may be recorded once more.
    forgetAnswer(path, {}, body);
    forgetAnswer(path);
    form.text.value = "";
    changed();
  });
}

function removed(panel, settings, note, changed) {
  return tried(panel, async () => {
    await ask(pathOf("runs", settings.run, "annotations", note.id), {}, { method: "DELETE" });
    forgetAnswer(pathOf("runs", settings.run, "annotations"));
    changed();
  });
}

/** Does what the service may refuse, and says its words. */
async function tried(panel, act) {
  panel.problem.hidden = true;
  try {
    await act();
  } catch (error) {
    if (!["Refusal", "Gone"].includes(error.name)) throw error;
    panel.problem.textContent = error.message;
    panel.problem.hidden = false;
  }
}
