"""What happens while somebody looks: a run goes on, the service ends and comes back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.charted import charted
from tests.support.fake_run import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

# Keeps the connections that are opened from now on.
MADE = """() => {
    const known = EventSource;
    window.made = [];
    window.EventSource = class extends known { constructor(address) { super(address); made.push(this); } };
}"""
# Lets the page be seen, or not.
HIDE = """(hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def of_round(run: Path, number: int, aside: Path) -> Path:
    """Make the run look as it did after a round before its last; return the part that is missing."""
    part = run / "records" / f"round={number + 1:06d}.parquet"
    (run / "records" / "final.parquet").unlink()
    (run / "done.json").unlink()
    told(run, number)
    return part.rename(aside)


def told(run: Path, number: int) -> None:
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"status": "running", "round": number}))


def test_a_run_that_goes_on_is_drawn_as_it_does(open_page: Any, serve: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "main", rounds=3)
    part = of_round(run, 2, tmp_path / "aside")
    service = serve(run)
    page: Page = open_page(service.address)
    rows, _ = charted(page, "[data-metric=loss]")
    assert rows["round"].max() == 2 and page.inner_text("#selection output") == "2"
    page.locator("#view-rounds .controls select").first.focus()
    part.rename(run / "records" / "round=000003.parquet")
    told(run, 3)
    latest = "() => Math.max(...document.querySelector('[data-metric=loss]').charted.columns.round) === 3"
    page.wait_for_function(latest)
    page.wait_for_function("() => document.querySelector('#selection output').textContent === '3'")
    # Whoever is about to choose something is left in peace.
    assert page.evaluate("document.activeElement.closest('.controls') !== null")
    page.close()
    service.stop()


def test_a_page_that_nobody_sees_leaves_its_connection_to_others(open_page: Any, serve: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "main", rounds=3)
    part = of_round(run, 2, tmp_path / "aside")
    service = serve(run)
    page: Page = open_page(service.address)
    page.evaluate(MADE)
    page.evaluate(HIDE, False)
    page.evaluate(HIDE, True)
    assert page.evaluate("made.map((one) => one.readyState)") == [2]
    part.rename(run / "records" / "round=000003.parquet")
    told(run, 3)
    page.evaluate(HIDE, False)
    page.wait_for_function("() => document.querySelector('#selection output').textContent === '3'")
    assert page.inner_text("#live") == "live"
    page.close()
    service.stop()


def test_losing_the_service_is_told_and_survived(open_page: Any, serve: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "main")
    service = serve(run)
    page: Page = open_page(f"{service.address}#view=rounds", expected=("ERR_",))
    assert page.inner_text("#live") == "live"
    service.stop()
    page.wait_for_function("() => document.getElementById('live').dataset.state === 'gone'")
    page.locator("#view-rounds .controls select").first.select_option("update_norm")
    place = page.locator("[data-metric=update_norm]")
    place.locator(".told").wait_for()
    assert "the service does not answer" in place.inner_text()
    # What was drawn stays.
    assert page.locator("[data-metric=loss] .chart-canvas").is_visible()
    service = serve(run, service.port)
    page.wait_for_function("() => document.getElementById('live').dataset.state === 'live'")
    place.locator(".chart-canvas").wait_for()
    assert charted(page, "[data-metric=update_norm]")[1]["label"] == "update norm"
    page.close()
    service.stop()
