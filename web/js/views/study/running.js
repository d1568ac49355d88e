/** What is running: how far, how fast, and for how long. */
import * as address from "fedlayers/address.js";
import { duration, element } from "fedlayers/html.js";

const MOST_LISTED = 12;

/** @param {HTMLElement} place @param {import("fedlayers/page.js").Context} context */
export async function drawRunning(place, { runs, ask, frozen, isCurrent }) {
  // A report was written before: what was expected then says nothing of now.
  const expected = frozen ? [] : await ask("expected").catch(() => []);
  if (!isCurrent()) return;
  const running = runs.filter((line) => line.status === "running");
  const counts = new Map();
  for (const { status } of runs) counts.set(status, (counts.get(status) ?? 0) + 1);
  for (const { state } of expected) counts.set(`${state}, not begun`, (counts.get(`${state}, not begun`) ?? 0) + 1);
  const said = [...counts].map(([status, count]) => `${count} ${status}`).join(", "), all = runs.length + expected.length;
  place.replaceChildren(
    element("p", { class: "note" }, all ? `${all} run${all > 1 ? "s" : ""}: ${said}` : "There is no run here yet."),
    ...(running.length ? [element("ul", { class: "running", "aria-label": "What is running" }, running.map(item))] : []),
    ...(expected.length ? [element("details", { class: "expected", open: expected.length <= MOST_LISTED },
      element("summary", {}, "Expected, and not begun"),
      element("ul", { class: "running" }, expected.map(({ run, state, detail }) => element("li", { class: `is-${state}` }, run, element("span", { class: "note" }, `${state}: ${detail}`)))))] : []),
  );
}

function item({ run, facts, round_s, left_s }) {
  const [round, rounds] = [facts.round ?? 0, facts.rounds];
  const pace = round_s === null ? "no round is done yet" : `${duration(round_s)} a round, about ${duration(left_s)} left`;
  const label = `round ${round} of ${rounds ?? "?"}`;
  return element("li", {},
    element("a", { href: address.link({ view: "rounds", run, round: null }) }, run),
    element("progress", { max: rounds ?? 1, value: round, "aria-label": `${run}: ${label}` }), `${label}, ${pace}`);
}
