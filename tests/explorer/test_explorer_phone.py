"""On a page as narrow as a telephone's nothing is cut off or lies over something else."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

WIDTH = 390
# What lies beyond the right edge, or lies over what follows it, unless it is in a box of its own that scrolls.
BEYOND = """(width) => [...document.querySelectorAll("body *")].filter((one) => {
    const { right, width: own, height } = one.getBoundingClientRect();
    if (!own || !height || one.closest("svg, .unseen, .skip") || right <= width + 1) return false;
    for (let box = one.parentElement; box !== document.body; box = box.parentElement)
        if (["auto", "scroll", "hidden"].includes(getComputedStyle(box).overflowX)) return false;
    return true;
}).map((one) => one.outerHTML.slice(0, 200))"""
OVERLAPPING = """() => {
    const parts = [...document.querySelectorAll("header > *, nav li, #selection > *, .controls > *")]
        .map((one) => [one, one.getBoundingClientRect()]).filter(([, box]) => box.width && box.height);
    const common = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]);
    const isOver = ([one, a], [other, b]) => !one.contains(other) && !other.contains(one)
        && common(a, b, "left", "right") > 1 && common(a, b, "top", "bottom") > 1;
    const told = ([one]) => one.outerHTML.slice(0, 90);
    return parts.flatMap((one, at) => parts.slice(at + 1).filter((other) => isOver(one, other))
        .map((other) => `${told(one)} and ${told(other)}`));
}"""


@pytest.mark.parametrize(
    "view", ["study", "rounds", "layers", "clients", "heterogeneity&client=1", "training", "table"]
)
def test_nothing_is_cut_off_or_overlaps(open_page: Any, serve: Any, small_run: Path, view: str) -> None:
    service = serve(small_run.parent)
    page = open_page(f"{service.address}#view={view}&run={small_run.name}", width=WIDTH)
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTH
    assert page.evaluate(BEYOND, WIDTH) == []
    assert page.evaluate(OVERLAPPING) == []
    page.close()
    service.stop()
