"""The frame of the page: what is selected, where it stands, and what the browser may do."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fedlayers
from fedlayers.charts.questions import key_of, path_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow


def test_the_first_page_shows_the_runs_and_a_link_opens_one(open_page: Any, served: str, study: Path) -> None:
    page: Page = open_page(served)
    assert page.inner_text("h1").startswith("fedlayers")
    names = sorted(folder.name for folder in study.iterdir())
    assert page.locator(".runs tbody th").all_inner_texts() == names
    assert page.inner_text("#live") == "live"
    page.get_by_role("link", name=names[1]).click()
    page.wait_for_selector("#view-rounds:not([aria-busy]) canvas")
    assert page.locator("#selection select").first.input_value() == names[1]
    page.go_back()
    page.wait_for_selector("#view-study:not([hidden])")


def test_back_goes_through_what_was_selected_and_over_a_dragged_round_at_once(
    open_page: Any, served: str, study: Path
) -> None:
    run = min(folder.name for folder in study.iterdir() if "fedprox" in folder.name)
    page: Page = open_page(f"{served}#view=rounds&run={run}")
    before = page.evaluate("history.length")
    page.select_option("#selection select[data-key=layer]", "conv2")
    page.select_option("#selection select[data-key=client]", "1")
    for at in (1, 3, 2):
        page.locator("#selection input[data-key=round]").fill(str(at))
    page.select_option("#selection select[data-key=client]", "3")
    assert page.evaluate("history.length") == before + 4
    for left in ("&layer=conv2&client=1&round=2", "&layer=conv2&client=1", "&layer=conv2", ""):
        page.go_back()

        page.wait_for_function(f"location.hash === '#view=rounds&run={run}{left}'")
    # The lists say what is selected now, and what was undone can be done again.
    page.wait_for_selector("#view-rounds:not([aria-busy])")
    assert page.locator("#selection select[data-key=client]").input_value() == ""
    page.go_forward()
    page.wait_for_function("document.querySelector('#selection select[data-key=layer]').value === 'conv2'")
    # A round that is dragged after "back" is a step of its own.
    page.locator("#selection input[data-key=round]").fill("1")
    page.go_back()
    page.wait_for_function(f"location.hash === '#view=rounds&run={run}&layer=conv2'")


@pytest.mark.parametrize("params", [
    {},
    {"b": 1, "a": "x y", "none": None},
    {"metric": ["norm", "loss"], "share": 0.5, "text": "ä&=+~*'()!"},
])  # fmt: skip
def test_python_and_the_page_name_questions_alike(open_page: Any, served: str, params: dict[str, Any]) -> None:
    page: Page = open_page(served)
    parts: list[str | int] = ["runs", "a b/ä~*'()!", "charts", 3]
    body = {"examples": [1, 2], "text": "ä"}
    asked = """async ([parts, params, body]) => {
        const { keyOf, pathOf } = await moduleOf("fedlayers/data.js");
        return [keyOf(pathOf(...parts), params), keyOf(pathOf(...parts), params, body)];
    }"""
    path = path_of(*parts)
    assert page.evaluate(asked, [parts, params, body]) == [key_of(path, params), key_of(path, params, body)]


def test_columns_arrive_as_the_browsers_own_numbers_and_texts(open_page: Any, served: str, study: Path) -> None:
    page: Page = open_page(served)
    run = min(folder.name for folder in study.iterdir())
    asked = """async (run) => {
        const { ask, pathOf } = await moduleOf("fedlayers/data.js");
        const { columns, length, total } = await ask(pathOf("runs", run, "tables", "records"), { metric: "accuracy" });
        const shown = Object.entries(columns).map(([name, column]) => [name, [...column].map((value) =>
            Number.isNaN(value) ? null : value)]);
        return [Object.fromEntries(shown), length, total];
    }"""
    columns, length, total = page.evaluate(asked, run)
    frame = fedlayers.read(study / run, metric="accuracy").records
    assert length == total == len(frame)
    for name in ("client", "round", "value", "scope", "layer", "metric", "p"):
        wanted = frame[name].astype(object)
        assert columns[name] == wanted.where(wanted.notna(), None).tolist(), name


def test_the_first_view_asks_each_question_once_and_other_views_come_after_it(
    pages: Any, serve: Any, small_run: Path
) -> None:
    service = serve(small_run)
    asked: list[str] = []
    page: Page = pages.open("about:blank")
    pages.expected = ("a request to elsewhere",)  # than about:blank
    page.on("request", lambda request: asked.append(request.url.removeprefix(service.address)))
    page.goto(service.address)
    page.wait_for_selector("#view-rounds:not([aria-busy]) canvas")
    questions = [address for address in asked if address.startswith("api/") and address != "api/events"]
    # What the page holds from the beginning is not asked for: the list of runs, and charts as far as they were known.
    assert len(questions) == len(set(questions)) and "api/runs" not in questions
    page.wait_for_function(
        "() => performance.getEntriesByType('resource').some((one) => one.name.includes('/but-rounds.js'))"
    )
    modules = [address.partition("?")[0] for address in asked if address.startswith("web/j")]
    assert modules == ["web/joined/rounds.js", "web/joined/but-rounds.js"]
    # Of the others nothing is loaded before it is drawn.
    last = max(at for at, address in enumerate(asked) if address in questions or "echarts" in address)
    assert next(at for at, address in enumerate(asked) if "/but-rounds.js" in address) > last
    # Once they are there, a view opens without another look at the service's files.
    page.wait_for_load_state("networkidle")
    before = len([address for address in asked if address.startswith("web/")])
    page.get_by_role("link", name="Layers").click()
    page.wait_for_selector("#view-layers:not([aria-busy]) canvas")
    assert len([address for address in asked if address.startswith("web/")]) == before
    page.close()
    service.stop()


def test_a_view_whose_files_do_not_come_says_so_and_opens_when_they_do(pages: Any, served: str) -> None:
    pages.expected = ("net::ERR_FAILED",)
    page: Page = pages.open("about:blank")
    pages.expected += ("a request to elsewhere",)  # than about:blank
    page.route("**/web/joined/but-study.js*", lambda route: route.abort())
    page.goto(served)
    page.wait_for_selector("#view-study:not([aria-busy])")
    page.get_by_role("link", name="Rounds").click()
    page.wait_for_selector("#view-rounds [role=alert]:text('the service does not answer')")
    page.unroute("**/web/joined/but-study.js*")
    page.get_by_role("link", name="Table").click()
    page.get_by_role("link", name="Rounds").click()
    page.wait_for_selector("#view-rounds:not([aria-busy]) canvas")


def test_a_view_without_the_library_of_charts_says_so_and_opens_when_it_comes(pages: Any, served: str) -> None:
    pages.expected = ("net::ERR_FAILED", "a request to elsewhere")  # than about:blank
    page: Page = pages.open("about:blank")
    page.route("**/vendor/echarts*", lambda route: route.abort())
    page.goto(f"{served}#view=rounds")
    page.wait_for_selector("#view-rounds [role=alert]:text('the service does not answer')")
    # What is selected needs no charts.
    assert page.locator("#selection select").first.input_value()
    page.unroute("**/vendor/echarts*")
    page.get_by_role("link", name="Table").click()
    page.get_by_role("link", name="Rounds").click()
    page.wait_for_selector("#view-rounds:not([aria-busy]) canvas")


def test_the_colours_that_a_reader_chose_stay(open_page: Any, served: str) -> None:
    page: Page = open_page(served, scheme="light")
    assert page.get_attribute("html", "data-theme") == "light"
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") == "dark" and page.inner_text("#theme") == "Light"
    answer = page.reload()
    assert answer is not None and 'data-theme="dark"' in answer.text()
    page.wait_for_selector("#view-study:not([aria-busy])")
    assert page.get_attribute("html", "data-theme") == "dark" and page.inner_text("#theme") == "Light"
