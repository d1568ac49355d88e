/** Scores and small curves of runs, asked for some at a time, so that hundreds do not keep anybody waiting. */

const AT_ONCE = 40;

/**
 * Asks for the scores of runs.
 * @param {string[]} runs
 * @param {import("fedlayers/page.js").Context} context
 * @param {(scores: Map<string, any>, told: string) => void} show called at once and whenever more are there.
 */
export async function scoresOf(runs, { ask, isCurrent, frozen }, show) {
  const scores = new Map();
  if (!frozen || runs.length) show(scores, "");
  let soon = 0;
  for (let first = 0; first < runs.length && isCurrent(); first += AT_ONCE) {
    let told = "";
    try {
      take(scores, await ask("charts/scores", { run: runs.slice(first, first + AT_ONCE) }));
    } catch (error) {
      if (error.name !== "Refusal") throw error;
      told = error.message;
    }
    const done = Math.min(first + AT_ONCE, runs.length), last = done === runs.length;
    // A table of hundreds is not drawn for every few of them.
    if (isCurrent() && (last || performance.now() > soon)) {
      show(scores, told || (last ? "" : `scores of ${done} of ${runs.length} runs …`));
      soon = performance.now() + 300;
    }
  }
}

function take(scores, { columns, facts, length }) {
  for (const [run, said] of Object.entries(facts.runs)) scores.set(run, { ...said, points: { x: [], y: [] } });
  for (let row = 0; row < length; row += 1) {
    const { points } = scores.get(columns.run[row]);
    points.x.push(columns.round[row]);
    points.y.push(columns.value[row]);
  }
}
