"""The wrapper that draws every chart of the explorer, on a page of its own."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from fedlayers.figures.drawing.heat_maps import _COLOURS
from fedlayers.figures.drawing.style import MOMENT_COLOURS, PALETTE
from metrics.tracking.drawing import TIER_COLOURS
from tests.support.browser import accessibility_faults

if TYPE_CHECKING:
    from playwright.sync_api import Page

WEB = Path(__file__).parents[2] / "web"
EVIL = "<img src=x onerror=\"document.title='broken'\">"

pytestmark = pytest.mark.slow

LINES = """(name) => {
    const columns = { round: [1, 2, 3, 5], value: [0.1, 0.4, NaN, 0.7], who: Array(4).fill(name) };
    F.chart(one, {
        title: `Accuracy of ${name}`, label: "by round", table: { columns, facts: {} },
        notes: ["bands: lowest to highest of clients"],
        option: (how) => F.lines([
            { name, x: columns.round, y: columns.value, low: [0, 0.3, NaN, 0.6], high: [0.2, 0.5, NaN, 0.8],
              rows: [0, 1, 2, 3] },
            { name: "server", kind: "server", x: [1, 5], y: [0.2, 0.6], stderr: [0.05, NaN], rows: [4, 5] },
        ], { along: "round", label: "accuracy (share)", how, level: { value: 0.1, name: "chance" } }),
        onSelect: (what) => chosen.push(what),
    });
}"""
SCATTER = """(count) => {
    const x = new Float64Array(count), y = new Float64Array(count);
    for (let k = 0; k < count; k += 1) { x[k] = (k * 0.618) % 1; y[k] = k / count; }
    const group = Array.from(x, (_, k) => k % 3 ? "consistent" : "inconsistent");
    window.scattered = (selected) => F.chart(one, {
        title: "Records", table: { columns: { x, y, group }, facts: {} },
        option: (how) => F.scatter({
            x, y, group, labels: ["first (1)", "second (1)"], brush: true, zoom: true, selected, how,
        }),
        onSelect: (what) => { chosen.push(what); if (what.rows) scattered(new Set(what.rows)); },
    });
    scattered(null);
}"""
HEAT = """(logarithmic) => F.chart(one, {
    title: "Norms", table: { columns: { x: [0, 1, 0], y: [0, 0, 1], value: [1, 10, 1000] }, facts: {} },
    option: (how) => F.heatMap({
        columns: ["fc1", "fc2"], rows: ["0", "1"], x: [0, 1, 0], y: [0, 0, 1], values: [1, 10, 1000], limits: [1, 1000],
        logarithmic, label: "norm (1)", across: "layer", down: "client", ids: [7, 8, 9], how,
    }),
    onSelect: (what) => chosen.push(what),
})"""
DRAWN = "echarts.getInstanceByDom(one.querySelector('.chart-canvas'))"


def test_colours_are_those_of_the_figures() -> None:
    script = (WEB / "js" / "colours.js").read_text()

    def stops(name: str) -> list[str]:
        found = re.search(rf"export const {name} = \[(.*?)\]", script, re.DOTALL)
        assert found
        return re.findall(r'"(#\w{6})"', found[1])

    assert stops("PALETTE") == list(PALETTE)
    at = np.linspace(0, 1, len(stops("SEQUENTIAL")))
    assert stops("SEQUENTIAL") == [to_hex(_COLOURS(share)) for share in at]
    assert stops("DIVERGING") == [to_hex(colormaps["RdBu_r"](share)) for share in at]
    named = dict(re.findall(r"(\w+): (PALETTE\[\d\]|\"#\w{6}\")", script))
    read = {name: PALETTE[int(text[8])] if text[0] == "P" else text.strip('"') for name, text in named.items()}
    for name, colour in {**MOMENT_COLOURS, **TIER_COLOURS}.items():
        assert read[name] == colour


def test_a_chart_holds_what_it_draws_and_tells_it_under_the_keys(page: "Page") -> None:
    page.evaluate(LINES, EVIL)
    assert page.evaluate("one.charted.columns.round") == [1, 2, 3, 5]
    canvas = page.locator("#one .chart-canvas")
    assert canvas.get_attribute("aria-label") == f"Accuracy of {EVIL}. by round. bands: lowest to highest of clients"
    assert page.inner_text("#one h3") == f"Accuracy of {EVIL}"
    assert page.inner_text("#one .chart-notes") == "bands: lowest to highest of clients"
    canvas.focus()
    for key, told in {
        "ArrowRight": f"round 1, {EVIL}: 0.1, 0 to 0.2",
        "End": f"round 5, {EVIL}: 0.7, 0.6 to 0.8",
        "ArrowDown": "round 5, server: 0.6",
        "Home": "round 1, server: 0.2, ± 0.05 (standard error)",
    }.items():
        page.keyboard.press(key)
        assert page.locator("#one [aria-live]").inner_text() == told
    page.keyboard.press("Enter")
    assert page.evaluate("chosen.map(({ row, series }) => [row, series])") == [[4, "server"]]
    assert page.title() == "charts" and page.locator("img").count() == 0
    assert accessibility_faults(page) == []


def test_an_arrow_to_another_line_stays_at_the_round(page: "Page") -> None:
    page.evaluate("""() => {
        const line = (name, more, x) => ({ name, x, y: x.map((round) => (round + more) / 10) });
        const drawn = [line("trained", 0, [1, 2, 3]), line("averaged", 3, [0, 1, 2, 3]), line("sparse", 6, [0, 3])];
        const option = (how) => F.lines(drawn, { along: "round", label: "accuracy", how });
        F.chart(one, { title: "Rounds", option, table: { columns: {}, facts: {} } });
    }""")
    page.locator("#one .chart-canvas").focus()
    for key, told in (
        ("ArrowRight", "round 1, trained: 0.1"),
        ("ArrowRight", "round 2, trained: 0.2"),
        ("ArrowDown", "round 2, averaged: 0.5"),
        ("ArrowDown", "round 3, sparse: 0.9"),
        ("ArrowUp", "round 3, averaged: 0.6"),
    ):
        page.keyboard.press(key)
        assert page.locator("#one [aria-live]").inner_text() == told


def test_bands_and_bars_lie_within_the_axis(page: "Page") -> None:
    page.evaluate(LINES, "clients")
    low, high = page.evaluate(f"{DRAWN}.getModel().getComponent('yAxis').axis.scale.getExtent()")
    assert low <= 0 and high >= 0.8


def test_an_axis_is_logarithmic_on_both_sides_of_zero(page: "Page") -> None:
    placed: Any = page.evaluate("""() => {
        const { to, from } = F.placing({ kind: "symlog", threshold: 0.01 });
        const values = [-10, -0.01, 0, 0.005, 1];
        return [values.map(to), values.map(to).map(from)];
    }""")
    assert placed[0] == pytest.approx([-4, -1, 0, 0.5, 3])
    assert placed[1] == pytest.approx([-10, -0.01, 0, 0.005, 1])


def test_an_axis_says_all_digits_of_its_ticks_and_no_more(page: "Page") -> None:
    for value, text in (
        (1.0002, "1.0002"), (0.1 + 0.2, "0.3"), (-0.05, "−0.05"), (0, "0"), (4_000_000, "4e6"), (2.5e-4, "2.5e-4"),
    ):  # fmt: skip
        assert page.evaluate("(value) => F.tick(value)", value) == text
    drawn = """(ends) => {
        const drawn = [{ name: "a", x: [1, 2], y: ends }], scale = { kind: "linear", ends };
        const option = (how) => F.lines(drawn, { along: "round", label: "v", scale, how });
        F.chart(one, { title: "t", label: "l", table: { columns: {}, facts: {} }, option });
        const chart = echarts.getInstanceByDom(one.querySelector(".chart-canvas"));
        const isSeen = ({ style, invisible, ignore }) => style.text && !invisible && !ignore;
        return chart.getZr().storage.getDisplayList(true).filter(isSeen).map(({ style }) => style.text);
    }"""
    assert {"0", "1"} <= {*page.evaluate(drawn, [0, 1])}
    texts = page.evaluate(drawn, [0.99942, 1.00058])
    assert "1.0002" in texts and "0.9998" in texts and not {"0.99942", "1.00058"} & {*texts}


def test_a_long_name_keeps_its_start_and_its_end(page: "Page") -> None:
    asked = '["T-shirt/top", "long sleeved shirt", "stage1.0.conv1.weight"].map((name) => F.shortened(name, 12))'
    assert page.evaluate(asked) == ["T-shirt/top", "long … shirt", "stage…weight"]


def test_a_click_selects_a_row_of_the_table(page: "Page") -> None:
    page.evaluate(HEAT, True)
    x, y = page.evaluate(f"{DRAWN}.convertToPixel({{ xAxisIndex: 0, yAxisIndex: 0 }}, [0, 1])")
    page.locator("#one .chart-canvas").click(position={"x": x, "y": y})
    assert page.evaluate("chosen.map(({ row }) => row)") == [9]


@pytest.mark.parametrize("logarithmic", [True, False])
def test_colours_lie_between_their_ends(page: "Page", logarithmic: bool) -> None:
    page.evaluate(HEAT, logarithmic)
    shares: Any = page.evaluate(f"""() => {{
        const {{ min, max }} = {DRAWN}.getOption().visualMap[0];
        return {DRAWN}.getOption().series[0].data.map(({{ value }}) => (value[2] - min) / (max - min));
    }}""")
    assert np.allclose(shares, [0, 1 / 3, 1] if logarithmic else [0, 9 / 999, 1])


@pytest.mark.parametrize("lasso", [False, True])
def test_points_are_selected_with_the_pointer(page: "Page", lasso: bool) -> None:
    page.evaluate(SCATTER, 300)
    kind = "polygon" if lasso else "rect"
    page.evaluate(f"""{DRAWN}.dispatchAction({{
        type: "takeGlobalCursor", key: "brush", brushOption: {{ brushType: "{kind}", brushMode: "single" }},
    }})""")
    box = page.locator("#one .chart-canvas").bounding_box()
    assert box
    corners = page.evaluate(
        f"[[0.1, 0.1], [0.6, 0.1], [0.6, 0.5], [0.1, 0.5]]"
        f".map((place) => {DRAWN}.convertToPixel({{ xAxisIndex: 0, yAxisIndex: 0 }}, place))"
    )
    places = [(box["x"] + x, box["y"] + y) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in [*places[1:], places[0]] if lasso else [places[2]]:
        page.mouse.move(*place, steps=12)
    page.mouse.up()
    page.wait_for_function("chosen.length")
    rows = sorted(page.evaluate("chosen[0].rows"))
    inside = [k for k in range(300) if 0.11 < (k * 0.618) % 1 < 0.59 and 0.11 < k / 300 < 0.49]
    around = [k for k in range(300) if 0.09 < (k * 0.618) % 1 < 0.61 and 0.09 < k / 300 < 0.51]
    assert {*inside} <= {*rows} <= {*around} and len(inside) > 30


def test_six_thousand_points_are_drawn_again_at_once(page: "Page") -> None:
    page.evaluate(SCATTER, 6000)
    spent = page.evaluate("""() => {
        const begin = performance.now();
        scattered(new Set(Array.from({ length: 500 }, (_, k) => 7 * k)));
        return performance.now() - begin;
    }""")
    # A machine under load is slow, but nothing is quadratic in the points.
    assert spent < 2000


def _saved(page: "Page", kind: str) -> bytes:
    with page.expect_download() as waiting:
        page.locator("#one button", has_text=kind).click()
    assert waiting.value.suggested_filename == f"accuracy-of-a-b.{kind.lower()}"
    return Path(waiting.value.path()).read_bytes()


def test_a_chart_is_saved_as_svg_png_and_csv(page: "Page") -> None:
    page.evaluate(LINES, 'a "&" <b>')
    svg = ElementTree.fromstring(_saved(page, "SVG"))
    texts = [text for element in svg.iter() if (text := (element.text or "").strip())]
    assert {'Accuracy of a "&" <b>', "bands: lowest to highest of clients", "accuracy (share)"} <= {*texts}
    assert _saved(page, "PNG")[:8] == b"\x89PNG\r\n\x1a\n"
    rows = list(csv.DictReader(io.StringIO(_saved(page, "CSV").decode())))
    assert [row["value"] for row in rows] == ["0.1", "0.4", "", "0.7"] and rows[0]["who"] == 'a "&" <b>'


def test_what_is_on_its_way_or_failed_says_so_in_its_place(page: "Page") -> None:
    page.evaluate("() => { F.drawn(one, new Promise((ready) => { window.ready = ready; }), () => ({})); }")
    page.wait_for_selector("#one[aria-busy=true] [role=status]")
    # Only the last question of a place counts.
    page.evaluate("() => F.drawn(one, Promise.reject(new Error('metric must be <one> of a, b')), () => ({}))")
    page.evaluate("ready({})")
    assert page.inner_text("#one [role=alert]") == "metric must be <one> of a, b"
    page.evaluate(LINES, "clients")
    assert page.locator("#one [role]").count() == 1 and page.locator("#one .told").count() == 0
    # Nor does it stay above a chart that is drawn anew.
    page.evaluate("() => { F.drawn(one, new Promise((ready) => { window.ready = ready; }), () => ({})); }")
    page.wait_for_selector("#one[aria-busy=true] [role=status]")
    page.evaluate(LINES, "clients")
    assert page.locator("#one .told").count() == 0


def test_a_chart_follows_the_page_into_the_dark(page: "Page") -> None:
    page.evaluate(LINES, "clients")
    ground = f"{DRAWN}.getOption().series.at(-1).itemStyle.color"
    before = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{ground} !== {json.dumps(before)}")
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    page.wait_for_function(f"{ground} === {json.dumps(before)}")


def test_a_marker_is_dragged_to_the_nearest_place(page: "Page") -> None:
    page.evaluate("""() => {
        const put = (at) => F.chart(one, {
            title: "Loss", table: { columns: {}, facts: {} },
            marker: {
                at, places: [1, 2, 5], label: "round", onMove: (place) => { chosen.push(place); put(place); },
            },
            option: (how) => F.lines(
                [{ name: "a", x: [1, 2, 5], y: [3, 2, 1] }], { along: "round", label: "loss (nat)", how },
            ),
        });
        put(1);
    }""")
    box = page.locator("#one .chart-canvas").bounding_box()
    assert box
    at: Any = page.evaluate(f"[1, 4.2].map((x) => {DRAWN}.convertToPixel({{ xAxisIndex: 0 }}, x))")
    page.mouse.move(box["x"] + at[0], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + at[1], box["y"] + 100, steps=8)
    page.mouse.up()
    page.wait_for_function("chosen.length")
    assert page.evaluate("chosen") == [5]


@pytest.fixture(autouse=True)
def nothing_is_left_over(page: "Page") -> Iterator[None]:
    yield
    page.evaluate("F.cleared(one)")
    assert page.evaluate("one.childElementCount") == 0
