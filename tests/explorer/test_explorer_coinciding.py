"""Lines that lie on each other: the one below is seen and told, and nobody takes it for missing."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

_DRAWN = "echarts.getInstanceByDom(one.querySelector('.chart-canvas'))"


def _draw(page: "Page", lines: list[dict[str, Any]], **about: Any) -> list[float]:
    """Draw lines at rounds 1, 2, …; return how wide each one is."""
    page.evaluate(
        """([drawn, about]) => F.chart(one, {
            title: "Loss", notes: ["of clients"], table: { columns: {}, facts: {} },
            option: (how) => F.lines(
                drawn.map((line) => ({ ...line, x: line.y.map((_, at) => at + 1), rows: line.y.map(() => 0) })),
                { along: "round", label: "loss (nat)", how, ...about },
            ),
        })""",
        [lines, about],
    )
    found: list[float] = page.evaluate(
        f"{_DRAWN}.getOption().series.filter(({{ type }}) => type === 'line').map(({{ lineStyle }}) => lineStyle.width)"
    )
    return found


def _told(page: "Page") -> str:
    return page.inner_text("#one .chart-notes")


def test_a_line_below_another_one_is_wider_and_both_are_named(page: "Page") -> None:
    same = [{"name": name, "y": [3.0, 2.0, 1.5]} for name in ("a", "b", "c")]
    wide = _draw(page, [*same, {"name": "d", "y": [1, 2, 3]}])
    assert wide[0] > wide[1] > wide[2] == wide[3] == 2
    assert _told(page) == "of clients · a, b and c coincide, the one below is wider"
    canvas = page.locator("#one .chart-canvas")
    assert "a, b and c coincide" in (canvas.get_attribute("aria-label") or "")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    assert "coincides with b, c" in page.inner_text("#one [aria-live]")


@pytest.mark.parametrize(("above", "hidden", "about"), [
    ([3.0, 2.0, 1.0], True, {}),
    ([3.0, 2.004, 1.0], True, {}),
    ([3.0, 2.1, 1.0], False, {}),
    # Where the axis is as high as its ends say, less of a difference is seen.
    ([3.0, 2.1, 1.0], True, {"scale": {"kind": "linear", "ends": [0, 100]}}),
    # A line that has no value somewhere hides nothing there.
    ([3.0, None, 1.0], False, {}),
])  # fmt: skip
def test_lines_coincide_where_none_of_the_points_below_is_seen(
    page: "Page", above: list[float | None], hidden: bool, about: dict[str, Any]
) -> None:
    wide = _draw(page, [{"name": "a", "y": [3.0, 2.0, 1.0]}, {"name": "b", "y": above}], **about)
    assert (wide[0] > wide[1] == 2) == hidden
    assert ("coincide" in _told(page)) == hidden


def test_where_steps_are_ratios_small_values_are_as_far_apart_as_large_ones(page: "Page") -> None:
    lines = [{"name": "a", "y": [1e-6, 1.0, 10.0]}, {"name": "b", "y": [2e-6, 1.0, 10.0]}]
    assert _draw(page, lines, scale={"kind": "log"}) == [2, 2] and _told(page) == "of clients"


def test_thin_lines_that_are_equal_are_named(page: "Page") -> None:
    mean = {"name": "mean", "y": [1.0, 2.3]}
    _draw(page, [mean, *[{"name": f"client {at}", "faint": True, "y": [1.0, 2.0 + (at == 1)]} for at in range(3)]])
    assert _told(page) == "of clients · client 0 and client 2 coincide"
    _draw(page, [mean, *[{"name": f"client {at}", "faint": True, "y": [1.0, float(at)]} for at in range(3)]])
    assert _told(page) == "of clients"


def test_a_name_on_a_map_stands_beside_one_point_only(page: "Page") -> None:
    shown: Any = page.evaluate(
        """async () => {
            const { names } = await import("fedlayers/marks/names.js");
            const drawn = (spots) => {
                const made = names(spots.map((at, row) => ({ at, name: String(row) })), 12, "light");
                const box = { coordSys: { x: 0, y: 0, width: 300, height: 300 } };
                const api = { coord: (at) => at };
                return spots.map((_, at) => made.renderItem({ dataIndexInside: at, ...box }, api)?.style ?? null);
            };
            return [drawn([[100, 100], [130, 100]]), drawn([[100, 100], [200, 100]])];
        }"""
    )
    near, far = shown
    # The first one's name stands to the left of it, where the other one is not.
    assert near[0]["x"] < 100 and near[1]["x"] > 130
    assert far[0]["x"] > 100 and far[1]["x"] > 200
