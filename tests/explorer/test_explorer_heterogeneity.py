"""The view Heterogeneity: each part shows what the service's tables say, and one selection links them all."""

import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from fedlayers.heterogeneity.clusters import inconsistent_clusters
from fedlayers.heterogeneity.contrasts import overview
from fedlayers.heterogeneity.local_records import local_records
from fedlayers.heterogeneity.over_rounds import over_rounds
from fedlayers.heterogeneity.trajectory import trajectory
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.heterogeneity.verdicts import verdicts
from fedlayers.opening.run import Run
from tests.explorer.conftest import MARKUP
from tests.support.browser import accessibility_faults
from tests.support.heterogeneity_page import charted, dragged, place, plot_ends, select, selected, settled

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.slow

CHARTS = ("verdict", "parameters", "timeline", "overview", "clusters", "matrix", "maps", "distribution", "example")


def test_parts_show_what_python_says(look: Callable[..., "Page"], run: Run) -> None:
    page = look()
    two = TwoModels(run, 1)
    shown = charted(page, "overview")
    assert shown["federated"] == two.federated_probabilities.argmax(1).tolist()
    assert shown["c1"] == pytest.approx(overview(two).scores[:, 0].tolist(), abs=1e-6)
    clusters = inconsistent_clusters(two)
    assert charted(page, "clusters")["size"] == clusters.found.sizes.tolist()
    assert charted(page, "clusters")["accuracy"] == pytest.approx(clusters.accuracy.tolist())
    known = over_rounds(run, 1)
    assert charted(page, "timeline")["disagreement"] == pytest.approx(known.disagreement.tolist())
    for name, value in (("accuracy_alone", known.local_accuracy), ("disagreement_null", known.null)):
        # What is drawn as a level stands in every row; NaN comes from the page as None.
        level = None if value is None or math.isnan(value) else pytest.approx(value)
        assert charted(page, "timeline")[name] == [level] * len(known.disagreement)
    assert charted(page, "parameters")["x"] == pytest.approx(trajectory(run).points["x"].tolist(), abs=1e-6)
    cells = charted(page, "matrix")
    truth = np.asarray(two.records.truth)
    for federated, label, everyone in zip(cells["federated"], cells["truth"], cells["all"], strict=True):
        both = (two.federated_probabilities.argmax(1) == federated) & (truth == label)
        assert both.sum() == everyone
    assert sum(cells["inconsistent"]) == two.inconsistent.sum()
    assert page.locator("#view-heterogeneity img").count() == 0  # names are text
    assert accessibility_faults(page) == []
    told = page.locator("#heterogeneity-verdict tbody td:last-child").all_inner_texts()
    assert told == [verdict.told(run.facts["classes"]) for verdict in verdicts(run).values()]


def test_a_feature_is_picked_in_a_map_and_its_values_are_the_data_sets(look: Callable[..., "Page"], run: Run) -> None:
    page = look()
    place = page.locator("#heterogeneity-maps .chart-canvas")
    size = place.bounding_box()
    assert size is not None
    # The middle of the left map, which is 8 by 8 pixels.
    place.click(position={"x": size["width"] / 4 + 3, "y": (size["height"] + 18) / 2 + 3})
    settled(page)
    feature = int(page.evaluate("new URLSearchParams(location.hash.slice(1)).get('heterogeneity.feature')"))
    assert feature == 4 * 8 + 4
    shown = charted(page, "distribution")
    values = local_records(run, 1).raw().flatten(1)[:, feature].numpy()
    wanted, _ = np.histogram(values, np.append(shown["from"], shown["to"][-1]))
    assert shown["all"] == wanted.tolist()
    odd = TwoModels(run, 1).inconsistent
    wanted, _ = np.histogram(values[odd], np.append(shown["from"], shown["to"][-1]))
    assert shown["inconsistent"] == wanted.tolist()


def test_a_selection_changes_all_parts_and_the_address_restores_it(look: Callable[..., "Page"], run: Run) -> None:
    page = look()
    page.click("#heterogeneity-clusters [data-cluster='0']")
    settled(page)
    clusters = inconsistent_clusters(TwoModels(run, 1))
    members = clusters.numbers[clusters.found.labels == 0].tolist()
    assert selected(page) == members
    assert sum(charted(page, "matrix")["selected"]) == len(members)
    assert sum(charted(page, "distribution")["selected"]) == len(members)
    # Those of the last round are inconsistent, all of them.
    assert charted(page, "timeline")["selected_inconsistent"][-1] == 1
    assert charted(page, "example")["consistent"] == [False]
    again = look(page.evaluate("location.hash").lstrip("#"))
    assert selected(again) == members


def test_records_are_caught_with_a_lasso(look: Callable[..., "Page"]) -> None:
    page = look()
    shown = charted(page, "overview")
    # The left half of the plot but a hundredth at its sides.
    (left, right), (low, high) = plot_ends(page, "overview")
    across, up = (right - left) / 100, (high - low) / 100
    corners = [(left + across, low + up), (left + 50 * across, low + up)]
    corners += [(left + 50 * across, high - up), (left + across, high - up), corners[0]]
    dragged(page, "overview", "polygon", corners)
    page.wait_for_function("() => location.hash.includes('records=')")
    settled(page)

    def within(more: float) -> set[int]:
        points = enumerate(zip(shown["c1"], shown["c2"], strict=True))
        x, y = more * across, more * up
        return {
            row
            for row, (c1, c2) in points
            if left + across - x < c1 < left + 50 * across + x and low + up - y < c2 < high - up + y
        }

    assert len(within(-1)) > 3 and within(-1) <= {*selected(page)} <= within(1)


def test_a_rectangle_selects_exactly_the_records_that_lie_in_it(look: Callable[..., "Page"]) -> None:
    page = look()
    shown = charted(page, "overview")
    # Its sides lie where the gap between records is widest, so that no pixel decides.
    sides = [gap_between(np.asarray(shown[name], float)) for name in ("c1", "c2")]
    inside = {
        row
        for row, point in enumerate(zip(shown["c1"], shown["c2"], strict=True))
        if all(low < place < high for place, (low, high) in zip(point, sides, strict=True))
    }
    assert 3 < len(inside) < len(shown["c1"])
    (left, right), (low, high) = sides
    dragged(page, "overview", "rect", [(left, low), (right, high)])
    page.wait_for_function("() => location.hash.includes('records=')")
    settled(page)
    assert {*selected(page)} == inside
    assert f"{len(inside)} of {len(shown['c1'])} selected" in page.inner_text("#view-heterogeneity .which")


def gap_between(values: np.ndarray) -> tuple[float, float]:
    """Return the middle of the widest gap in the lower third of some values, and that in the upper third."""
    ordered = np.sort(values)
    third = len(ordered) // 3
    ends = []
    for part in (ordered[:third], ordered[-third:]):
        at = int(np.diff(part).argmax())
        ends.append(float(part[at] + part[at + 1]) / 2)
    return ends[0], ends[1]


def test_charts_are_zoomed_by_wheel_and_keys(look: Callable[..., "Page"]) -> None:
    page = look()
    zoom = "(canvas) => echarts.getInstanceByDom(canvas).getOption().dataZoom.map(({ start, end }) => end - start)"
    matrix = page.locator("#heterogeneity-matrix .chart-canvas")
    page.mouse.move(*place(page, "matrix", 0.5, 0.5))
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"(canvas) => Math.max(...({zoom})(canvas)) < 99", arg=matrix.element_handle())
    matrix.press("0")
    assert matrix.evaluate(zoom) == [100, 100]
    matrix.press("+")
    assert matrix.evaluate(zoom) == pytest.approx([70, 70])


def test_keys_pick_a_cell_and_a_pixel_and_the_marker_a_round(look: Callable[..., "Page"], run: Run) -> None:
    page = look("client=1&heterogeneity.feature=9")
    page.locator("#heterogeneity-matrix .chart-canvas").press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.includes('records=cell')")
    settled(page)
    cell = charted(page, "matrix")
    assert len(selected(page)) == cell["all"][0] == cell["selected"][0]
    page.locator("#heterogeneity-maps .chart-canvas").press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_function("() => location.hash.includes('heterogeneity.feature=18')")
    settled(page)
    # Where the time line's marker is let go, all parts are of that round.
    page.mouse.move(*place(page, "timeline", run.facts["round"], 0.5))
    page.mouse.down()
    page.mouse.move(*place(page, "timeline", 1, 0.5), steps=6)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('round=1')")
    settled(page)
    early = TwoModels(run, 1, 1)
    assert charted(page, "overview")["federated"] == early.federated_probabilities.argmax(1).tolist()


def test_slow_work_is_stopped_and_goes_on_and_a_record_that_is_not_there_is_told(look: Callable[..., "Page"]) -> None:
    page = look("client=1&heterogeneity.example=9999")
    told = page.locator("#heterogeneity-example .told").last
    assert told.inner_text().startswith("There is no record 9999: client ")
    stopped: list[str] = []

    def busy(route: "Route") -> None:
        job = {"job": "j", "state": "running", "share": 0.5, "message": "thinking"}
        route.fulfill(status=202, json=job)

    def deleted(route: "Route") -> None:
        stopped.append(route.request.method)
        route.fulfill(json={"job": "j", "state": "cancelled", "share": None, "message": ""})

    page.route("**/rounds/rounds*", busy)
    page.route("**/api/jobs/j", deleted)
    page.evaluate("async () => (await moduleOf('fedlayers/address.js')).set({ client: 0 })")
    line = page.locator("#heterogeneity-timeline")
    line.get_by_role("button", name="Stop").click()
    page.wait_for_function(
        "() => document.querySelector('#heterogeneity-timeline .told').innerText.includes('stopped')"
    )
    assert stopped == ["DELETE"]
    page.unroute("**/rounds/rounds*")
    line.get_by_role("button", name="Go on").click()
    settled(page)
    assert len(charted(page, "timeline")["disagreement"]) > 0


def test_any_records_go_into_the_address_and_back(look: Callable[..., "Page"]) -> None:
    page = look()
    module = "await moduleOf('fedlayers/views/heterogeneity/records.js')"
    for rows in ([3], [0, 5, 17, 30], list(range(0, 75, 2))):
        text = page.evaluate(f"async (rows) => ({module}).listed(rows)", rows)
        assert page.evaluate(f"async (text) => ({module}).chosen(text).rows", text) == rows
        assert len(text) <= max(len("list:") + 3 * len(rows), len("bits:") + max(rows) / 6 + 1)
        select(page, text)
        assert selected(page) == rows


def test_annotations_are_recorded_combined_and_deleted(look: Callable[..., "Page"], run: Run) -> None:
    page = look("client=1&records=list:1,2,3")
    for text, records in ((f"{MARKUP} first", "list:1,2,3"), ("second", "list:3,4")):
        select(page, records)
        page.fill("#heterogeneity-annotations input[type=text]", text)
        page.click("#heterogeneity-annotations button[type=submit]")
        page.wait_for_selector(f"#heterogeneity-annotations .text:has-text('{text[-5:]}')")
    boxes = page.locator("#heterogeneity-annotations input[type=checkbox]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    settled(page)
    assert selected(page) == [1, 2, 3, 4]
    page.select_option("#heterogeneity-annotations select", "intersection")
    settled(page)
    assert selected(page) == [3]
    assert page.locator("#heterogeneity-annotations .text").first.inner_text() == f"{MARKUP} first"
    assert len(json.loads((run.folder / "annotations.json").read_text())) == 2
    for _ in range(2):
        page.locator("#heterogeneity-annotations button", has_text="Delete").first.click()
        settled(page)
    page.wait_for_selector("#heterogeneity-annotations li:has-text('no annotation')")
    assert json.loads((run.folder / "annotations.json").read_text()) == []


def test_what_does_not_fit_the_records_is_told_with_what_is_shown(look: Callable[..., "Page"]) -> None:
    page = look("client=1&heterogeneity.feature=99999&heterogeneity.channel=7&heterogeneity.map=attention")
    told = page.inner_text("#mistakes > .told:not([hidden])")
    sentences = {one.split()[3]: one for one in told.replace(". There", ".|There").split("|")}
    assert {*sentences} == {"feature", "channel", "map"}
    shown = page.evaluate("document.querySelector('#heterogeneity-distribution .panel-body').charted.facts.feature")
    assert re.fullmatch(
        rf"There is no feature 99999: there are 0 to \d+\. Shown is {shown}, the strongest\.",
        sentences["feature"],
    )
    assert sentences["channel"] == "There is no channel 7: there is 0. Shown is 0."
    assert re.fullmatch(r"There is no map attention: there are loadings, .*\. Shown is loadings\.", sentences["map"])
    page.evaluate("location.hash = location.hash.replace(/&heterogeneity.*/, '&heterogeneity.feature=9')")
    page.wait_for_selector("#mistakes > .told:not([hidden])", state="detached")
    settled(page)


@pytest.mark.parametrize("number", ["", "&heterogeneity.number=2"])
def test_clusters_say_what_stability_is_where_they_have_one(look: Callable[..., "Page"], number: str) -> None:
    page = look(f"client=1{number}")
    stability = charted(page, "clusters")["stability"]
    has_one = any(value is not None and math.isfinite(value) for value in stability)
    assert has_one == bool(number)
    told = page.inner_text("#heterogeneity-clusters .chart-notes")
    assert ("stability: Jaccard index among resampled records" in told) == has_one
