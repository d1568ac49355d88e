"""What charts on a page show, and how they are clicked: for tests of views in a browser."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from playwright.sync_api import Page

_TABLE = """(place) => {
    const { columns, facts } = document.querySelector(place).charted;
    const told = (value) => typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
    return [Object.fromEntries(Object.entries(columns).map(([name, one]) => [name, Array.from(one, told)])), facts];
}"""
_PIXEL = """([place, value]) => {
    const canvas = document.querySelector(`${place} .chart-canvas`), chart = echarts.getInstanceByDom(canvas);
    canvas.scrollIntoView({ block: "center" });
    const [x, y] = chart.convertToPixel({ seriesIndex: 0 }, value), box = canvas.getBoundingClientRect();
    return [box.x + x, box.y + y];
}"""


def until(page: "Page", says: str, seconds: float = 20) -> None:
    """Wait until an expression of the page is true; pages allow no waiting of the browser's own."""
    end = time.monotonic() + seconds
    while not page.evaluate(says):
        assert time.monotonic() < end, f"it never came: {says}"
        page.wait_for_timeout(20)


def table_on(page: "Page", place: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return what the chart in a place shows: its columns, with NaN as it is, and its facts."""
    until(page, f"Boolean(document.querySelector({place!r})?.charted)")
    columns, facts = page.evaluate(_TABLE, place)
    frame = pd.DataFrame(columns)
    return frame.replace({"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}), facts


def point_at(page: "Page", place: str, value: Sequence[Any], click: bool = False) -> None:
    """Move the pointer to a value of a chart's first series, such as column and row of a cell; click if asked to."""
    until(page, f"Boolean(document.querySelector({place!r})?.charted)")
    x, y = page.evaluate(_PIXEL, [place, list(value)])
    page.mouse.move(x, y)
    if click:
        page.mouse.click(x, y)


def selected_on(page: "Page") -> dict[str, Any]:
    """Return what is selected, as the address says."""
    found: dict[str, Any] = page.evaluate("moduleOf('fedlayers/address.js').then(({ get }) => ({ ...get() }))")
    return found


def steady(page: "Page", view: str) -> None:
    """Wait until what was selected has been drawn in a view."""
    page.wait_for_selector(f"#view-{view}:not([hidden]):not([aria-busy])")
