"""The view Rounds in a browser: it draws what the tables say, and what is selected in it changes the page."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import fedlayers
from tests.support.browser import accessibility_faults
from tests.support.charted import charted
from tests.support.fake_run import write_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def test_it_draws_what_the_tables_say_and_a_round_is_one_for_all(open_page: Any, served: str, study: Path) -> None:
    run = min(folder for folder in study.iterdir() if "fedprox" in folder.name)
    page: Page = open_page(f"{served}#view=rounds&run={run.name}&metric=update_norm&layer=conv2&client=1")
    records = fedlayers.read(run).records
    for metric, layer in (("accuracy", None), ("loss", None), ("update_norm", "conv2")):
        rows, facts = charted(page, f"[data-metric={metric}]")
        scope = {"accuracy": "client_test", "loss": "client_test"}.get(metric)
        own = records[(records["metric"] == metric) & (records["moment"] == "after_local") & records["client"].notna()]
        own = own[own["scope"] == scope] if scope else own[own["layer"] == layer]
        wanted = own.groupby("round")["value"].mean()
        name = next(line["name"] for line in facts["lines"] if line["at"] == "after_local")
        means = rows[(rows["line"] == name) & rows["client"].isna()].set_index("round")["value"]
        assert means.to_dict() == pytest.approx(wanted.to_dict()), metric
    assert accessibility_faults(page) == []
    # The marker at the round, dragged by hand, is the selection of every view.
    assert "round" not in page.evaluate("location.hash").replace("view=rounds", "")
    drag(page, "[data-metric=accuracy] .chart-canvas", 2)
    page.wait_for_function("() => location.hash.includes('round=2')")
    assert page.inner_text("#selection output") == "2"
    page.reload()
    page.wait_for_selector("[data-metric=accuracy] canvas")
    assert page.locator("#selection select[data-key=client]").input_value() == "1"
    assert page.inner_text("#selection output") == "2"


def test_a_charts_csv_has_the_rows_that_it_draws(open_page: Any, served: str, study: Path) -> None:
    run = min(folder for folder in study.iterdir() if "fedprox" in folder.name)
    page: Page = open_page(f"{served}#view=rounds&run={run.name}&rounds.resource=train_s")
    chart = page.locator("#view-rounds .chart", has_text="in all rounds")
    with page.expect_download() as waiting:
        chart.get_by_role("button", name="CSV").click()
    saved = pd.read_csv(waiting.value.path())
    resources = fedlayers.read(run).resources
    own = resources[(resources["metric"] == "train_s") & (resources["moment"] != "final")]
    means = own.groupby("round")["value"].mean()
    assert set(saved["metric"]) == {"train_s"} < set(resources["metric"])
    assert saved.set_index("round")["value"].to_dict() == pytest.approx(means.to_dict())


@pytest.mark.parametrize("width", [1280, 1920])
def test_all_names_of_a_legend_and_the_markers_words_can_be_read(
    open_page: Any, served: str, study: Path, width: int
) -> None:
    run = min(folder.name for folder in study.iterdir() if "fedprox" in folder.name)
    page: Page = open_page(f"{served}#view=rounds&run={run}&client=1", width=width)
    said = """() => {
        const place = document.querySelector("[data-metric=accuracy] .chart-canvas");
        const drawing = echarts.getInstanceByDom(place);
        const group = drawing.getZr().storage.getRoots().find((one) => one.draggable), text = group.childAt(2);
        const { legend: [legend], grid: [grid] } = drawing.getOption(), rect = text.getBoundingRect();
        return { kind: legend.type, names: legend.data.length, bottom: grid.bottom, high: drawing.getHeight(),
            right: group.x + text.x + rect.x + rect.width, wide: drawing.getWidth(), words: text.style.text };
    }"""
    found = page.evaluate(said)
    lines = 1 + (found["high"] - 300) // 20
    assert found["kind"] == "plain" and found["names"] == 5 and lines > 1 and found["bottom"] == 72 + 20 * (lines - 1)
    assert found["words"] == "round 4" and found["right"] <= found["wide"]
    # In a narrower window the legend gets more lines.
    page.set_viewport_size({"width": 460, "height": 900})
    page.wait_for_function(f"() => ({said})().wide > 0 && ({said})().high !== {found['high']}")
    narrow = page.evaluate(said)
    assert narrow["high"] - narrow["bottom"] == 300 - 72 and narrow["right"] <= narrow["wide"]


def test_many_clients_are_drawn_one_by_one_only_when_asked(open_page: Any, serve: Any, tmp_path: Path) -> None:
    # The run says of itself how many it has, or does not: the chart knows.
    for said in (65, None):
        run = write_run(tmp_path / str(said), clients=65, overrides=(("clients", said), ("client_names", [])))
        service = serve(run)
        try:
            page: Page = open_page(f"{service.address}#view=rounds&client=64")
            assert drawn_one_by_one(page) == (0, True)
            assert "one by one" not in page.inner_text("[data-metric=accuracy] .chart-notes")
            page.goto(f"{service.address}#view=rounds&client=64&rounds.clients=each")
            page.wait_for_function(
                "() => document.querySelector('[data-metric=accuracy]').innerText.includes('one by one')"
            )
            # Sixty that are spread evenly, and the one that is selected.
            count, is_selected_drawn = drawn_one_by_one(page)
            assert count in (59, 60) and is_selected_drawn
            page.goto("about:blank")
        finally:
            service.stop()


def drawn_one_by_one(page: "Page") -> tuple[int, bool]:
    """Return how many thin lines the chart of accuracy has, and whether client 64 has a line of its own."""
    found: list[list[Any]] = page.evaluate(
        """() => echarts.getInstanceByDom(document.querySelector("[data-metric=accuracy] .chart-canvas"))
            .getOption().series.map((one) => [one.name, one.data.length])"""
    )
    thin = sum(count for name, count in found if name == "one by one")
    return thin, any(str(name).startswith("client 64, ") for name, _ in found)


def test_what_a_run_lacks_is_not_asked_for_with_every_round(open_page: Any, serve: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path)
    shutil.rmtree(run / "resources")
    service = serve(run)
    try:
        page: Page = open_page(f"{service.address}#view=rounds")
        assert "has no resources" in page.inner_text("#view-rounds")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for number in (1, 2):
            page.evaluate("async (round) => (await moduleOf('fedlayers/address.js')).set({ round })", number)
            page.wait_for_selector("#view-rounds:not([aria-busy])")
        assert "has no resources" in page.inner_text("#view-rounds")
        assert [one for one in asked if "/charts/" in one] == []
        page.goto("about:blank")
    finally:
        service.stop()


def test_the_first_view_asks_nothing_that_the_page_holds(open_page: Any, serve: Any, tmp_path: Path) -> None:
    service = serve(write_run(tmp_path))
    try:
        page: Page = open_page(service.address)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url.removeprefix(service.address)))
        for _ in range(2):  # the service may have just begun
            asked.clear()
            page.reload()
            page.wait_for_selector("#view-rounds:not([aria-busy])")
            page.wait_for_function("() => globalThis.Arrow")
        rows, _ = charted(page, "[data-metric=loss]")
        assert len(rows) and [one for one in asked if one.startswith("api/") and one != "api/events"] == []
        page.goto("about:blank")
    finally:
        service.stop()


def drag(page: "Page", canvas: str, to_round: int) -> None:
    """Drag the marker of a chart to a round."""
    places = page.evaluate(
        """([canvas, round]) => {
            const place = document.querySelector(canvas), drawing = echarts.getInstanceByDom(place);
            const { left, top } = place.getBoundingClientRect();
            const marker = drawing.getZr().storage.getRoots().find((one) => one.draggable);
            const goal = drawing.convertToPixel({ xAxisIndex: 0 }, round);
            return [left + marker.x, left + goal, top + place.clientHeight / 2];
        }""",
        [canvas, to_round],
    )
    page.mouse.move(places[0], places[2])
    page.mouse.down()
    page.mouse.move((places[0] + places[1]) / 2, places[2], steps=3)
    page.mouse.move(places[1], places[2], steps=3)
    page.mouse.up()
