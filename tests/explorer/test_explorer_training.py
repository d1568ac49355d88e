"""The view Classes and training in a browser."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import fedlayers
from tests.support.browser import accessibility_faults

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    return quick_run(
        "rounds=2", "metrics=[evaluation,classes,attention,gradients]", "metrics.classes.rounds=[all]",
        "model=vision_transformer", "engine=local",
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(run: Path, serve: Any) -> Any:
    service = serve(run)
    yield service.address
    service.stop()


def charted(page: "Page", chart: str, metric: str | None = None) -> dict[str, Any]:
    """Return what a chart draws, as soon as it draws a metric."""
    asked = """(chart) => {
        const { columns, facts } = document.querySelector(`[data-chart=${chart}]`)?.charted ?? { facts: {} };
        const plain = (value) => Number.isNaN(value) ? null : value;
        const all = Object.entries(columns ?? {}).map(([name, column]) => [name, [...column].map(plain)]);
        return { facts, ...Object.fromEntries(all) };
    }"""
    for _ in range(200):
        found: dict[str, Any] = page.evaluate(asked, chart)
        if found["facts"] and metric in (None, found["facts"]["metric"]):
            return found
        page.wait_for_timeout(100)
    pytest.fail(f"{chart} never showed {metric}")


def test_it_draws_what_the_tables_say(open_page: Any, address: str, run: Path) -> None:
    page: Page = open_page(f"{address}#view=training&round=1")
    records = fedlayers.read(run).records
    shown = charted(page, "classes")
    rows = records[
        (records["metric"] == "class_f1") & (records["moment"] == "after_aggregate") & (records["round"] == 1)
        & (records["scope"] == "client_test")
    ]  # fmt: skip
    assert shown["value"] == [None if np.isnan(value) else value for value in rows["value"]]
    assert shown["class"] == rows["subject"].tolist() and shown["client"] == rows["client"].tolist()
    flow = charted(page, "flow")
    norm = records[(records["metric"] == "gradient_norm") & (records["moment"] == "after_aggregate")]
    first = norm[(norm["round"] == 1) & (norm["layer"] == flow["layer"][0])]["value"]
    assert flow["mean"][0] == pytest.approx(first.mean())
    assert charted(page, "attention")["facts"]["heads"] == ["head 0", "head 1"]
    assert charted(page, "resources")["facts"]["metric"] == "train_s"
    assert accessibility_faults(page) == []


def test_what_is_selected_here_stands_in_the_address_and_comes_back(open_page: Any, address: str) -> None:
    page: Page = open_page(f"{address}#view=training&round=1")
    page.select_option("#part-classes select >> nth=0", "class_recall")
    page.wait_for_url("**training.class=class_recall**")
    charted(page, "classes", "class_recall")
    page.locator("[data-chart=classes] .chart-canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "&class=" in url and "client=0" in url)
    again: Page = open_page(page.url)
    assert charted(again, "classes")["facts"]["metric"] == "class_recall"
    assert charted(again, "tiers")["facts"]["metric"] == "tier_recall"
    assert again.input_value("#selection [data-key=client]") == "0"


def test_a_run_without_them_says_what_to_do(open_page: Any, served: str, study: Path) -> None:
    page: Page = open_page(f"{served}#view=training")
    assert page.inner_text("#part-classes .without") == "Not measured: run with metrics=[evaluation,classes]."
    assert page.locator("[data-chart=classes]").is_hidden() and page.locator("img").count() == 0
