"""The view Table in a browser: its rows are those that its line of Python gives."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import fedlayers
from tests.support.browser import accessibility_faults
from tests.support.charted import charted

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def of_python(page: "Page") -> pd.DataFrame:
    """Return what the line gives that the page shows."""
    first, line = page.inner_text(".python code").splitlines()
    assert first == "import fedlayers"
    found: pd.DataFrame = eval(line, {"fedlayers": fedlayers})
    return found.reset_index(drop=True)


@pytest.mark.parametrize("selection", [
    "metric=loss&round=2",
    "metric=update_norm&layer=conv2&client=1",
    "table.offset=100",
    "table=pairs&metric=cka&client=0&other=2",
    "table=resources&metric=train_s",
    "table=spectra",
])  # fmt: skip
def test_the_line_gives_the_rows_that_are_shown(open_page: Any, served: str, study: Path, selection: str) -> None:
    run = min(folder.name for folder in study.iterdir() if "fedprox" in folder.name)
    page: Page = open_page(f"{served}#view=table&run={run}&{selection}")
    page.wait_for_selector("#view-table table")
    rows, _ = charted(page, "#view-table .wide")
    frame = of_python(page)
    assert 0 < len(frame) == len(rows) <= 100
    for column in set(frame) - {"x", "y"}:
        wanted = frame[column].astype(object)
        assert (
            rows[column].astype(object).where(rows[column].notna(), None).tolist()
            == wanted.where(wanted.notna(), None).tolist()
        )


def test_rows_that_are_written_over_are_those_of_the_round(open_page: Any, served: str, study: Path) -> None:
    run = min(folder.name for folder in study.iterdir() if "fedprox" in folder.name)
    address = f"{served}#view=table&run={run}&round="
    page, other = (open_page(address + number) for number in "23")
    told_by = "(cell) => [cell.textContent, cell.title, cell.className]"
    texts = f"(table) => [...table.rows].map((row) => [...row.cells].map({told_by}))"
    before = page.locator("#view-table table").element_handle()
    # Round 1 has layers, whose columns are not among those of round 2; rounds 2 and 3 have the same columns.
    for number, is_written_over in ((3, True), (1, False), (2, False), (3, True)):
        page.evaluate("async (round) => (await moduleOf('fedlayers/address.js')).set({ round })", number)
        page.wait_for_selector("#view-table:not([aria-busy])")
        assert before.evaluate("table => table.isConnected") == is_written_over, number
        before = page.locator("#view-table table").element_handle()
        if number == 3:
            told = page.eval_on_selector("#view-table table", texts)
            assert len(told) > 10 and told == other.eval_on_selector("#view-table table", texts)


def test_what_is_not_there_is_told_in_the_words_of_the_service(open_page: Any, served: str, study: Path) -> None:
    run = min(folder.name for folder in study.iterdir() if "fedprox" in folder.name)
    page: Page = open_page(f"{served}#view=table&run={run}&metric=los")
    told = page.locator("#view-table > .told")
    assert "metric must be some of" in told.inner_text() and "did you mean loss" in told.inner_text()
    assert accessibility_faults(page) == []
    page.locator("#view-table select").nth(1).select_option("loss")
    page.wait_for_selector("#view-table table")
    assert told.is_hidden()
