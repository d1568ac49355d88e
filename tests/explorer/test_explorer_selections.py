"""The view Heterogeneity says which records are selected, also where they are not there or not yet known."""

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from fedlayers.opening.run import Run
from tests.support.heterogeneity_page import charted, select, selected, settled

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.slow


@pytest.fixture
def notes(run: Run) -> Iterator[list[dict[str, Any]]]:
    """Yield three annotations of the run, of which the last is about another client."""
    about = {"round": None, "inputs": "local", "view": "", "created": "2025-01-02T03:04:05Z"}
    found: list[dict[str, Any]] = [
        {"id": "a" * 16, "text": "one", "client": 1, "examples": [1, 2, 3], **about},
        {"id": "b" * 16, "text": "two", "client": 1, "examples": [3, 4], **about},
        {"id": "c" * 16, "text": "other", "client": 0, "examples": [3, 5], **about},
    ]
    path = run.folder / "annotations.json"
    path.write_text(json.dumps(found))
    yield found
    path.unlink()


def which(page: "Page") -> str:
    return page.inner_text("#view-heterogeneity .which")


@pytest.mark.parametrize("missing", ["d" * 16, "c" * 16])
def test_an_annotation_that_is_not_there_changes_no_selection_in_silence(
    look: Callable[..., "Page"], notes: list[dict[str, Any]], missing: str
) -> None:
    ids = f"{notes[0]['id']},{missing}"
    page = look(f"client=1&records=notes:intersection:{ids}")
    # An intersection with what is not known is not the records of the others.
    assert selected(page) == []
    told = "1 of 2 annotations is no longer there, or about other records"
    assert which(page) == f"No record of client {run_name(page)} is selected: {told}"
    select(page, f"notes:union:{ids}")
    assert selected(page) == [1, 2, 3]
    assert which(page).endswith(f"selected: union of 2 annotations; {told}")
    # The next click leaves out what is not there.
    page.locator("#heterogeneity-annotations input[type=checkbox]").nth(1).check()
    settled(page)
    assert selected(page) == [1, 2, 3, 4]
    assert which(page).endswith("selected: union of 2 annotations")


def run_name(page: "Page") -> str:
    found = re.match(r"client (.*), round", page.inner_text("#view-heterogeneity .who"))
    assert found is not None
    return found[1]


def test_components_are_the_selections_only_where_something_is_selected(look: Callable[..., "Page"]) -> None:
    page = look("client=1&heterogeneity.space=selection")
    part = page.locator("#heterogeneity-overview")
    assert part.locator(".chart-title").inner_text().endswith("in contrastive components")
    assert "nothing is selected to be set against the rest" in part.locator(".chart-notes").inner_text()
    alone = charted(page, "overview")["c1"]
    select(page, "list:1,2,3,4,5,6")
    assert part.locator(".chart-title").inner_text().endswith("in contrastive components of the selection")
    assert "nothing is selected" not in part.locator(".chart-notes").inner_text()
    assert charted(page, "overview")["c1"] != alone


def test_while_records_are_looked_for_nothing_is_said_of_others(look: Callable[..., "Page"]) -> None:
    page = look("client=1&records=inconsistent")
    assert "selected: all inconsistent records" in which(page)

    def busy(route: "Route") -> None:
        route.fulfill(status=202, json={"job": "j", "state": "running", "share": None, "message": "thinking"})

    page.route("**/outputs*", busy)
    page.route(
        "**/api/jobs/j",
        lambda route: route.fulfill(json={"job": "j", "state": "running", "share": None, "message": ""}),
    )
    page.evaluate("async () => (await moduleOf('fedlayers/address.js')).set({ round: 1, records: 'cell:0:1' })")
    page.wait_for_function(
        "() => document.querySelector('#view-heterogeneity .which').innerText === 'looking for the selected records…'"
    )
    page.unroute("**/outputs*")
    page.wait_for_function("() => !document.querySelector('#view-heterogeneity .which').innerText.includes('…')")
