"""The table of verdicts: what a run named itself stands beside what is tested in the page."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

# The page tests two clients and names nothing; the run, with other examples, named a concept shift of the second one in
# round 4, and in round 2 another kind.
DRAWN = """async () => {
    const { drawVerdict } = await import("fedlayers/views/heterogeneity/verdict.js");
    const table = (rows) => ({
        length: rows.length,
        columns: Object.fromEntries(Object.keys(rows[0]).map((key) => [key, rows.map((row) => row[key])])),
    });
    const tested = table([0, 1].flatMap((client) => ["label", "feature", "concept"].map((kind) => (
        { client, kind, found: false, effect: 0.01, adjusted: 1, n: 320, unknown: null }))));
    const row = (round, client, metric, subject, value, p, status = "ok") => (
        { round, client, metric, subject, value, p, n: 200, status });
    const measured = table([
        row(2, 0, "feature_shift", null, 0.5, 0.01), row(2, 0, "shift_named", "feature", 1, NaN),
        row(4, 0, "feature_shift", null, 0.1, 0.2), row(4, 0, "shift_named", "feature", 0, NaN),
        row(4, 0, "concept_shift", null, NaN, NaN, "missing"),
        row(4, 1, "feature_shift", null, 0.1, 0.2), row(4, 1, "shift_named", "feature", 0, NaN),
        row(4, 1, "concept_shift", null, 0.087, 0.024), row(4, 1, "shift_named", "concept", 1, NaN),
    ]);
    const facts = { round: 4, sentences: { 0: "nothing", 1: "nothing" } };
    const known = { settings: { client: null, names: ["0", "1"] } };
    drawVerdict({ place: one, show: (_, draw) => draw({ ...tested, facts }, measured) }, known, () => undefined);
}"""


def test_a_shift_that_the_run_named_is_marked_beside_the_pages_own_test(page: "Page") -> None:
    page.evaluate(DRAWN)
    told = [row.locator(".of-run").all_inner_texts() for row in page.locator("#one tbody tr").all()]
    assert told == [
        ["run: 0.1 (p = 0.2)", "run: cannot be said"],
        ["run: 0.1 (p = 0.2)", "run: yes: 0.087 (p = 0.024)"],
    ]
    assert "200 drawn training examples a client" in page.inner_text("#one .note")
