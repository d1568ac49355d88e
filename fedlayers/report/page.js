// The page: one selection (run, metric, layer, variant, order, round, profile) that all views show.

const RUNS = JSON.parse(document.getElementById("data").textContent);
const chosen = { run: 0, metric: "", layer: "", variant: "", order: "", round: null, profile: "" };
let pointedAt = () => null;
const part = (id) => document.getElementById(id);
const distinct = (values) => [...new Set(values)];

function matrixChosen() {
  const { metric, layer, variant } = chosen;
  const found = RUNS[chosen.run].matrices.filter((one) => one.metric === metric && one.layer === layer);
  return found.find((one) => one.variant === variant) ?? null;
}

const profileName = (one) => [one.label, one.variant].filter(Boolean).join(" · ");

function profileChosen() {
  return RUNS[chosen.run].profiles.find((one) => profileName(one) === chosen.profile) ?? null;
}

// Offers values in a list, keeps the one that is chosen if it is among them, and hides a list of one.
function offer(id, values, texts = values) {
  const list = part(id);
  if (!values.includes(chosen[id])) chosen[id] = values[0] ?? "";
  list.replaceChildren(...values.map((value, place) => new Option(texts[place], value)));
  list.value = chosen[id];
  list.parentElement.hidden = values.length < 2 && values.every((value) => value === "");
}

function offerAll() {
  const run = RUNS[chosen.run];
  const metrics = distinct(run.matrices.map((one) => one.metric));
  offer("metric", metrics, metrics.map((metric) => run.matrices.find((one) => one.metric === metric).label));
  const ofMetric = run.matrices.filter((one) => one.metric === chosen.metric);
  offer("layer", distinct(ofMetric.map((one) => one.layer)));
  const ofLayer = ofMetric.filter((one) => one.layer === chosen.layer);
  offer("variant", ofLayer.map((one) => one.variant));
  offer("order", run.orders.map((order) => order.name));
  part("order").parentElement.hidden = run.orders.length < 2;
  offer("profile", run.profiles.map(profileName));
  offerRounds();
}

function roundsChosen() {
  const rounds = [...(matrixChosen()?.rounds ?? []), ...(profileChosen()?.rounds ?? [])];
  return distinct(rounds).sort((a, b) => a - b);
}

function offerRounds() {
  const rounds = roundsChosen(), slider = part("round");
  part("round-bar").hidden = !rounds.length;
  if (!rounds.length) return;
  const wanted = chosen.round ?? rounds[rounds.length - 1];
  const distance = (round) => Math.abs(round - wanted);
  chosen.round = rounds.reduce((best, round) => (distance(round) < distance(best) ? round : best));
  slider.max = rounds.length - 1;
  slider.value = rounds.indexOf(chosen.round);
  slider.disabled = rounds.length < 2;
}

function showHead() {
  const run = RUNS[chosen.run];
  const entries = run.facts.map(([name, value]) => {
    const entry = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) {
      entry.append(Object.assign(document.createElement(tag), { textContent: text }));
    }
    return entry;
  });
  part("facts").replaceChildren(...entries);
  const notes = run.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note }));
  part("notes").replaceChildren(...notes);
}

function notMeasured(rounds) {
  return `Not measured in round ${chosen.round}; it was in ${rounds.length > 1 ? "rounds" : "round"} ${rounds.join(", ")}.`;
}

function showMatrix() {
  const run = RUNS[chosen.run], matrix = matrixChosen();
  part("between").hidden = matrix === null;
  if (matrix === null) return;
  const roundPlace = matrix.rounds.indexOf(chosen.round), there = roundPlace >= 0;
  part("matrix-frame").hidden = part("matrix-legend").hidden = !there;
  const what = [matrix.label, matrix.layer, matrix.measured].filter(Boolean).join(" · ");
  part("matrix-caption").textContent = there ? `${what} · round ${chosen.round}` : `${what}. ${notMeasured(matrix.rounds)}`;
  if (!there) return;
  const order = run.orders.find((one) => one.name === chosen.order);
  const scale = scaleOf(matrix.ends);
  const darkIsLow = matrix.itself === 0, places = arranged(order, run.clients.length);
  pointedAt = drawMatrix(part("matrix"), {
    matrix, names: run.clients, groups: order.groups, places, roundPlace, scale, darkIsLow,
  });
  part("matrix").setAttribute("aria-label", `${what}, round ${chosen.round}, ${run.clients.length} clients`);
  showMatrixLegend(matrix, scale);
}

function showMatrixLegend(matrix, scale) {
  const swatch = (kind) => {
    const box = Object.assign(document.createElement("span"), { className: `swatch ${kind}` });
    if (!kind) box.style.background = "var(--panel)";
    return box;
  };
  const words = [`Colours mean the same at all layers and in all rounds${scale.logarithmic ? ", on a logarithmic scale" : ""}.`];
  if (matrix.itself !== null) words.push(" Dark: alike. ", swatch(""), ` a client with itself: ${matrix.itself} by definition.`);
  if (!matrix.symmetric) words.push(" Not symmetric: rows compared with columns.");
  part("matrix-legend").replaceChildren(...words, " ", swatch("hatched"), " no value.");
}

// All that the table says of one cell.
function told({ client, other }) {
  const run = RUNS[chosen.run], matrix = matrixChosen(), clients = run.clients.length;
  const order = run.orders.find((one) => one.name === chosen.order);
  const named = (place) => `client ${run.clients[place]}${order.groups.length ? ` (${order.groups[place]})` : ""}`;
  const cell = cellOf(matrix, clients, matrix.rounds.indexOf(chosen.round), client, other);
  const number = (name) => column(matrix.columns[name])(cell);
  const who = `${named(client)} ${matrix.symmetric ? "and" : "compared with"} ${named(other)}, round ${chosen.round}`;
  if (!Number.isFinite(number("value"))) {
    if (client === other && matrix.itself !== null) return `${who}\n${matrix.itself} by definition`;
    return `${who}\nno value: ${matrix.reasons[number("reason") - 1] ?? "not measured"}`;
  }
  const has = (name) => Number.isFinite(number(name));
  const lines = [`${matrix.label}: ${written(number("value"))}`];
  if (has("stderr")) lines.push(`standard error ${written(number("stderr"))}`);
  if (has("n")) lines.push(`n = ${number("n")}`);
  const chance = [["chance", "mean"], ["chance_hi", "limit"]].filter(([name]) => has(name));
  if (chance.length) lines.push(`chance alone: ${chance.map(([name, word]) => `${word} ${written(number(name))}`).join(", ")}`);
  if (has("p")) lines.push(`p = ${written(number("p"))}`);
  return [who, ...lines].join("\n");
}

function showTip(event) {
  const place = part("matrix").getBoundingClientRect();
  const cell = pointedAt(event.clientX - place.left, event.clientY - place.top), tip = part("tip");
  tip.hidden = cell === null;
  if (cell === null) return;
  tip.textContent = told(cell);
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 4))}px`;
  tip.style.top = `${event.clientY + 18 + height > window.innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
}

function roundTicks(ends) {
  const ticks = ticksOf({ low: ends[0], high: ends[1], logarithmic: false }, 8).filter(Number.isInteger);
  return ticks.map((tick) => [tick, String(tick)]);
}

const numbersOf = (lines) => lines.flatMap((line) => [...line.low, ...line.high, ...line.mean]);

function showCurves() {
  const { charts } = RUNS[chosen.run];
  part("learning").hidden = !charts.length;
  part("curves").replaceChildren();
  for (const chart of charts) {
    const { low, high } = scaleOf(chart.lines.flatMap((line) => line.x), false), ends = [low, high];
    drawChart(part("curves"), {
      label: chart.label, lines: chart.lines, scale: scaleOf(numbersOf(chart.lines), false), along: "round", ends,
      ticks: roundTicks(ends), marked: chosen.round !== null && chosen.round >= low && chosen.round <= high ? chosen.round : null,
      passGaps: true, placeName: (place) => `round ${place}`,
    });
  }
}

function showProfile() {
  const profile = profileChosen(), box = part("profile-chart");
  part("layers").hidden = profile === null;
  if (profile === null) return;
  const lines = profile.lines[profile.rounds.indexOf(chosen.round)];
  box.replaceChildren();
  if (lines === undefined) {
    box.textContent = notMeasured(profile.rounds);
    return;
  }
  const { layers } = profile, step = stepFor(14, 480 / layers.length);
  drawChart(box, {
    label: [profile.label, profile.variant, profile.note, `round ${chosen.round}`].filter(Boolean).join(" · "),
    lines, scale: scaleOf(numbersOf(profile.lines.flat()), profile.decades), along: "layer",
    ends: [-0.5, layers.length - 0.5], marked: null, passGaps: false, placeName: (place) => layers[place],
    ticks: layers.map((layer, place) => [place, shortened(layer, 20)]).filter(([place]) => place % step === 0),
  });
}

function showRound() {
  const rounds = roundsChosen();
  part("round-text").textContent = rounds.length ? `${chosen.round} (${rounds.indexOf(chosen.round) + 1} of ${rounds.length})` : "";
  part("tip").hidden = true;
  showMatrix();
  showCurves();
  showProfile();
}

function show() {
  offerAll();
  showHead();
  showRound();
}

function goTo(place) {
  const rounds = roundsChosen();
  if (!rounds.length) return;
  chosen.round = rounds[Math.min(Math.max(place, 0), rounds.length - 1)];
  part("round").value = rounds.indexOf(chosen.round);
  showRound();
}

function begin() {
  part("run-choice").hidden = RUNS.length < 2;
  part("run").replaceChildren(...RUNS.map((run, place) => new Option(run.name, place)));
  part("run").addEventListener("change", (event) => { chosen.run = Number(event.target.value); show(); });
  for (const id of ["metric", "layer", "variant", "order", "profile"]) {
    part(id).addEventListener("change", (event) => { chosen[id] = event.target.value; show(); });
  }
  part("round").addEventListener("input", (event) => goTo(Number(event.target.value)));
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    // A list and the slider itself have arrow keys of their own.
    if (!step || event.target.closest("select, input") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    goTo(roundsChosen().indexOf(chosen.round) + step);
  });
  part("matrix").addEventListener("pointermove", showTip);
  part("matrix").addEventListener("pointerdown", showTip);
  part("matrix").addEventListener("pointerleave", () => { part("tip").hidden = true; });
  window.addEventListener("resize", showMatrix);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showMatrix);
  show();
}

begin();
