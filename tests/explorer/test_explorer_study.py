"""The view Study in a browser: its table, what is picked, how algorithms compare."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import fedlayers
from fedlayers.runs.expected.expected_runs import note_failure, write_expected
from fedlayers.views.comparison.lacking import no_ranks
from tests.support.browser import accessibility_faults
from tests.support.charted import charted
from tests.support.fake_run import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a study of two algorithms with two seeds each, one damaged run and one that failed."""
    folder = tmp_path_factory.mktemp("results") / "compared"
    for algorithm in ("fedavg", "local"):
        for seed in (0, 1):
            write_run(folder, clients=3 + (algorithm == "local"), seed=seed, algorithm=algorithm)
    write_run(folder, seed=7, status="failed", reason="out of <b>memory</b>")
    (write_run(folder, seed=8) / "run.json").write_text("{")
    write_expected(folder, {"next <b>": ["seed=9"], "spoilt": ["seed=10"], "last": ["seed=11"]})
    note_failure(folder / "spoilt", "no such data")
    return folder


@pytest.fixture(scope="module")
def address(serve: Any, compared: Path) -> Iterator[str]:
    service = serve(compared)
    yield service.address
    service.stop()


def run_places(study: Path) -> list[Path]:
    return [folder for folder in study.iterdir() if (folder / "run.json").is_file()]


def names(page: "Page") -> list[str]:
    found: list[str] = page.locator(".runs tbody th").all_inner_texts()
    return found


def test_runs_are_sorted_filtered_and_picked(open_page: Any, address: str, compared: Path) -> None:
    page: Page = open_page(address)
    assert page.locator("#views [aria-current]").inner_text() == "Study"
    assert names(page) == sorted(folder.name for folder in run_places(compared))
    assert "9 runs: 4 complete, 1 failed, 1 damaged, " in page.inner_text(".study-running")
    # What has not begun yet stands there, too.
    coming = page.locator(".expected li").all_inner_texts()
    assert coming[1].endswith("failed: no such data") and "missing: nobody is going to start it" in coming[2]
    assert coming[0].startswith("next <b>")
    assert page.locator(".is-failed .reason").inner_text() == "out of <b>memory</b>"
    records = {run.name: fedlayers.read(run).records for run in run_places(compared) if "-s8-" not in run.name}
    page.wait_for_function("() => document.querySelectorAll('.sparkline polyline').length === 5")
    page.get_by_role("button", name="last accuracy").click()
    final = {
        name: rows[(rows["metric"] == "accuracy") & (rows["scope"] == "client_test")] for name, rows in records.items()
    }
    scores = {name: rows[rows["moment"] == "final"]["value"].mean() for name, rows in final.items()}
    shown = names(page)
    assert [scores[name] for name in shown[:5]] == sorted(scores.values(), reverse=True)
    assert "-s8-" in shown[5]  # it has no score
    page.fill("input[type=search]", "seed=1 local")
    page.wait_for_function("() => document.querySelectorAll('.runs tbody tr').length === 1")
    assert "-local-s1-" in names(page)[0]
    page.get_by_role("button", name="pick these").click()
    page.fill("input[type=search]", "local")
    page.wait_for_function("() => document.querySelectorAll('.runs tbody tr').length === 2")
    page.get_by_role("button", name="pick these").click()
    both = "() => document.querySelector('.study-curves [data-metric]').charted?.facts.groups[0].runs.length === 2"
    page.wait_for_function(both)
    rows, facts = charted(page, ".study-curves [data-metric='0']")
    (group,) = facts["groups"]
    of_seeds = [
        rows[(rows["moment"] == "after_aggregate") & (rows["round"] == 3)]["value"].mean()
        for rows in (final[name] for name in group["runs"])
    ]
    here = rows[(rows["metric"] == "accuracy") & (rows["round"] == 3) & rows["evaluation"].str.contains("aggregation")]
    assert here["value"].item() == pytest.approx(np.mean(of_seeds)) and here["runs"].item() == 2
    assert facts["band"] == "bands: 95 % t interval over runs"
    page.reload()
    page.wait_for_function("() => document.querySelectorAll('.runs tbody input:checked').length === 2")


def test_algorithms_are_compared_as_on_the_command_line(open_page: Any, address: str, compared: Path) -> None:
    page: Page = open_page(f"{address}#view=study&study.metric=loss")
    for part in ("matrix", "served", "ranks"):
        page.wait_for_selector(f"[data-part={part}] :is(canvas, .told[role=alert])")
    assert accessibility_faults(page) == []
    rows, facts = charted(page, "[data-part=matrix]")
    wanted = fedlayers.comparison(compared, metric="loss")
    table = wanted.algorithms[wanted.algorithms["metric"] == "loss"].reset_index(drop=True)
    for column in ("setting", "algorithm", "mean", "mean_low", "mean_high", "worst_client", "seeds"):
        pd.testing.assert_series_equal(rows[column], table[column], check_dtype=False, check_names=False)
    assert facts["label"] == "loss (nat)" and facts["direction"] == "lower"
    # Other numbers of clients make other settings: there is nothing to rank.
    assert f"there are no ranks: {no_ranks(wanted.scores)}" in page.inner_text("[data-part=ranks]")
