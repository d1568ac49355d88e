"""The view Heterogeneity in a browser: what its parts show, and how records are selected in them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page

WAIT_MS = 120_000


def settled(page: "Page") -> None:
    page.wait_for_selector("#view > section:not([hidden]):not([aria-busy])")
    page.wait_for_selector("#view-heterogeneity:not(:has([aria-busy]))", timeout=WAIT_MS)


def select(page: "Page", records: str) -> None:
    page.evaluate("async (records) => (await moduleOf('fedlayers/address.js')).set({ records })", records)
    settled(page)


def charted(page: "Page", name: str) -> dict[str, list[Any]]:
    """Return the columns of what a part shows."""
    found: dict[str, list[Any]] = page.evaluate(
        """(name) => {
            const place = document.querySelector(`#heterogeneity-${name} .panel-body`);
            const plain = (value) => Number.isNaN(value) ? null : ArrayBuffer.isView(value) ? [...value] : value;
            const columns = Object.entries(place.charted.columns);
            return Object.fromEntries(columns.map(([key, column]) => [key, [...column].map(plain)]));
        }""",
        name,
    )
    return found


def selected(page: "Page") -> list[int]:
    return np.flatnonzero(charted(page, "overview")["selected"]).tolist()


def place(page: "Page", name: str, x: float, y: float) -> tuple[float, float]:
    """Return where a place of a part's plot is on the screen, after it has been scrolled to."""
    canvas = page.locator(f"#heterogeneity-{name} .chart-canvas")
    canvas.scroll_into_view_if_needed()
    found: list[float] = canvas.evaluate(
        """(canvas, point) => {
            const { left, top } = canvas.getBoundingClientRect();
            const [x, y] = echarts.getInstanceByDom(canvas).convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, point);
            return [left + x, top + y];
        }""",
        [x, y],
    )
    return found[0], found[1]


def plot_ends(page: "Page", name: str) -> list[list[float]]:
    """Return the lowest and the highest place on each axis of a part's plot."""
    found: list[list[float]] = page.locator(f"#heterogeneity-{name} .chart-canvas").evaluate(
        """(canvas) => ["xAxis", "yAxis"].map((axis) =>
            echarts.getInstanceByDom(canvas).getModel().getComponent(axis).axis.scale.getExtent())"""
    )
    return found


def dragged(page: "Page", name: str, brush: Literal["polygon", "rect"], corners: Sequence[tuple[float, float]]) -> None:
    """Choose a brush of a part's plot and drag it from corner to corner."""
    page.locator(f"#heterogeneity-{name} .chart-canvas").evaluate(
        """(canvas, brushType) => echarts.getInstanceByDom(canvas).dispatchAction({
            type: "takeGlobalCursor", key: "brush", brushOption: { brushType, brushMode: "single" },
        })""",
        brush,
    )
    page.mouse.move(*place(page, name, *corners[0]))
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*place(page, name, *corner), steps=6)
    page.mouse.up()
