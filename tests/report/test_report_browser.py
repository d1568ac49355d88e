"""A report in a real browser: what the slider, the lists and the pointer do."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

import fedlayers
from fedlayers.report.page import write_report
from fedlayers.views.matrices import value_ends
from tests.support.fake_run import Fake, write_run
from tests.support.figure_tables import Measured, write_measured_run
from tests.support.quantities import KNOWN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CLIENTS = 5
# A metric of layers that was measured in the rounds in which clients were compared.
BOTH_ROUNDS = "probe accuracy"


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        program = None
    if program is None:
        need = "a report is tried out with chromium (Debian: apt-get install chromium) and playwright (pip)"
        (pytest.fail if "FEDLAYERS_CI" in os.environ else pytest.skip)(need)
    with sync_playwright() as playwright:
        # Root has no sandbox.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=CLIENTS, layers=4))


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    return write_report(run)


@pytest.fixture
def page(browser: "Browser", report: Path) -> Iterator["Page"]:
    yield from opened(browser, report)


def opened(browser: "Browser", report: Path, scheme: Literal["dark", "light"] = "light") -> Iterator["Page"]:
    """Open a report without a network; afterwards, there must have been no error."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, color_scheme=scheme, offline=True)
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: errors.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(report.as_uri())
    yield page
    assert errors == []
    context.close()


def picture(page: "Page") -> str:
    found: str = page.evaluate("document.getElementById('matrix').toDataURL()")
    return found


def point_at(page: "Page", row: int, column: int, clients: int = CLIENTS) -> str:
    """Point at a cell, counted from the top left, and return what is told."""
    # The place of the matrix in its picture, found through what the page itself tells of a pointer.
    x, y = page.evaluate(
        """([row, column, clients]) => {
            const canvas = document.getElementById('matrix'), wide = canvas.clientWidth, high = canvas.clientHeight;
            const places = arranged(RUNS[chosen.run].orders.find((one) => one.name === chosen.order), clients);
            for (let y = 0; y < high; y += 3) for (let x = 0; x < wide; x += 3) {
                const cell = pointedAt(x, y);
                if (cell && cell.client === places[row] && cell.other === places[column]) return [x + 3, y + 3];
            }
        }""",
        [row, column, clients],
    )
    page.hover("#matrix", position={"x": x, "y": y})
    return page.inner_text("#tip")


def test_the_slider_goes_through_the_rounds(page: "Page") -> None:
    page.select_option("#profile", label=BOTH_ROUNDS)
    assert page.inner_text("#round-text") == "10 (2 of 2)"
    last = picture(page), page.locator("#profile-chart").inner_html()
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#round-text") == "1 (1 of 2)"
    assert page.inner_text("#matrix-caption").endswith("· round 1")
    first = picture(page), page.locator("#profile-chart").inner_html()
    assert first[0] != last[0] and first[1] != last[1]
    page.keyboard.press("ArrowLeft")  # there is none before the first
    assert page.inner_text("#round-text") == "1 (1 of 2)"
    page.locator("#round").focus()
    page.keyboard.press("ArrowRight")
    assert (picture(page), page.locator("#profile-chart").inner_html()) == last


def test_what_was_not_measured_in_a_round_is_not_shown(page: "Page") -> None:
    page.select_option("#profile", label="norm")
    assert page.inner_text("#profile-chart") == "Not measured in round 10; it was in rounds 1, 2."
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#round-text") == "2 (2 of 3)"
    assert page.locator("#profile-chart svg").is_visible() and page.locator("#matrix").is_hidden()
    assert page.inner_text("#matrix-caption").endswith(". Not measured in round 2; it was in rounds 1, 10.")


def test_pointing_at_a_cell_tells_the_row_of_the_table(page: "Page", run: Path) -> None:
    pairs = fedlayers.read(run).pairs
    pairs = pairs[(pairs["subject"] == "clients") & (pairs["metric"] == "procrustes_distance")]
    page.select_option("#profile", label=BOTH_ROUNDS)
    page.select_option("#metric", "procrustes_distance")
    layer = str(pairs["layer"].iloc[-1])
    page.select_option("#layer", layer)
    for number, (row, column) in ((10, (3, 1)), (1, (2, 4))):
        page.keyboard.press("ArrowLeft" if number == 1 else "ArrowRight")
        low, high = min(row, column), max(row, column)
        at = (pairs["layer"] == layer) & (pairs["round"] == number) & (pairs["client"] == low)
        (value,) = pairs[at & (pairs["other"] == high)]["value"]
        lines = point_at(page, row, column).splitlines()
        assert lines[0] == f"client {row} and client {column}, round {number}"
        assert float(lines[1].removeprefix("Procrustes distance (rad): ")) == pytest.approx(value, rel=1e-5)
        assert lines[2:] == ["standard error 0.01", "n = 1000", "chance alone: mean 1.2, limit 1.15", "p = 0.001"]
    assert point_at(page, 2, 2).endswith("\n0 by definition")


def test_colours_are_of_one_scale_over_all_layers_and_rounds(page: "Page", run: Path) -> None:
    pairs = fedlayers.read(run).pairs
    expected = value_ends(pairs[(pairs["subject"] == "clients") & (pairs["metric"] == "cka")], KNOWN["cka"])
    page.select_option("#profile", label=BOTH_ROUNDS)
    page.select_option("#metric", "cka")
    for layer in page.locator("#layer option").all_inner_texts():
        page.select_option("#layer", layer)
        for key in ("ArrowLeft", "ArrowRight"):
            page.keyboard.press(key)
            assert page.evaluate("matrixChosen().ends") == pytest.approx(expected)


def test_a_choice_of_one_is_no_choice(page: "Page") -> None:
    for name in ("order", "metric"):
        offered = page.locator(f"#{name} option").count()
        assert page.locator(f"#{name}").is_visible() == (offered > 1)


def test_every_list_changes_what_is_shown(page: "Page") -> None:
    pictures = {picture(page)}
    for metric in ("cka", "cka_distance", "procrustes_distance"):
        page.select_option("#metric", metric)
        for layer in page.locator("#layer option").all_inner_texts():
            page.select_option("#layer", layer)
            pictures.add(picture(page))
    assert len(pictures) == 12
    page.locator("#round").press("Home")  # the first round, in which everything was measured
    profiles = set()
    for name in page.locator("#profile option").all_inner_texts():
        page.select_option("#profile", name)
        profiles.add(page.locator("#profile-chart").inner_html())
    assert len(profiles) == page.locator("#profile option").count() > 5


def test_no_texts_of_a_chart_overlap(page: "Page") -> None:
    page.locator("#round").press("Home")
    for name in page.locator("#profile option").all_inner_texts():
        page.select_option("#profile", name)
        boxes = page.evaluate(
            """[...document.querySelectorAll('.chart')].map((chart) =>
                [...chart.querySelectorAll('text')].map((text) => {
                    const { left, right, top, bottom } = text.getBoundingClientRect();
                    return [left + 1, right - 1, top + 2, bottom - 2];
                }))"""
        )
        for chart in boxes:
            for at, (left, right, top, bottom) in enumerate(chart):
                for other in chart[at + 1 :]:
                    assert not (left < other[1] and other[0] < right and top < other[3] and other[2] < bottom), name


def test_a_study_has_a_choice_of_the_run(browser: "Browser", tmp_path: Path) -> None:
    write_measured_run(tmp_path, Measured(clients=3, layers=3))
    write_run(tmp_path, Fake(clients=4, rounds=3), seed=1)
    for page in opened(browser, write_report(tmp_path), "dark"):
        names = sorted(page.locator("#run option").all_inner_texts(), key=lambda name: "-s1-" in name)
        for name, clients in zip((*names, names[0]), (3, 4, 3), strict=True):
            page.select_option("#run", label=name)
            assert f"clients\n{clients}\n" in page.inner_text("#facts")
            assert page.locator("#between").is_visible() is ("-s0-" in name)
            assert page.locator("#learning").is_visible()
