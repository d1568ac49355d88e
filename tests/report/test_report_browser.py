"""A report in a real browser: opened from disk, without a network."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fedlayers
from fedlayers.report.beside_charts import MOST_ROWS
from fedlayers.report.page import write_report
from tests.support.browser import Pages, accessibility_faults
from tests.support.fake_run import Fake, write_run
from tests.support.figure_tables import Measured, write_measured_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MARKUP = "<img src=x onerror=alert(1)>"
DRAWN = "#view > section:not([hidden]):not([aria-busy])"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages(browser: "Browser") -> Iterator[Pages]:
    found = Pages(browser)
    yield found
    found.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=5, layers=4))


@pytest.fixture(scope="module")
def report(run: Path) -> Path:
    return write_report(run)


def opened(pages: Pages, report: Path, selected: str, scheme: Any = "light") -> "Page":
    page = pages.open(f"{report.as_uri()}#{selected}", scheme, offline=True)
    page.wait_for_selector(DRAWN)
    return page


def charted(page: "Page", place: str) -> dict[str, Any]:
    """Return what the chart in a place draws, as soon as it is there."""
    for _ in range(200):
        found: dict[str, Any] | None = page.evaluate(
            """(place) => {
                const { columns, facts } = document.querySelector(place)?.charted ?? {};
                const plain = (value) => Number.isNaN(value) ? null : value;
                const all = Object.entries(columns ?? {}).map(([name, column]) => [name, [...column].map(plain)]);
                return facts ? { facts, ...Object.fromEntries(all) } : null;
            }""",
            place,
        )
        if found is not None:
            return found
        page.wait_for_timeout(50)
    pytest.fail(f"nothing was drawn in {place}")


@pytest.mark.parametrize("width", [1280, 1920])
def test_its_tabs_stand_in_one_line(pages: Pages, report: Path, run: Path, width: int) -> None:
    page = opened(pages, report, "view=rounds")
    page.set_viewport_size({"width": width, "height": 900})
    tops = page.eval_on_selector_all("#views a", "(tabs) => tabs.map((tab) => tab.getBoundingClientRect().top)")
    assert len(tops) == 8 and len(set(tops)) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_attribute("#place", "title") == run.name


def test_it_opens_from_disk_and_draws_what_the_tables_say(pages: Pages, report: Path, run: Path) -> None:
    page = opened(pages, report, "view=rounds")
    assert page.inner_text("#live") == "saved report" and page.inner_text("#place") == run.name
    shown = charted(page, "[data-metric=accuracy]")
    records = fedlayers.read(run).records
    rows = records[(records["metric"] == "accuracy") & (records["scope"] == "client_test") & (records["round"] == 1)]
    expected = rows[rows["moment"] == "after_local"]["value"].mean()
    at = next(line["name"] for line in shown["facts"]["lines"] if line["at"] == "after_local")
    means = zip(shown["line"], shown["client"], shown["round"], shown["value"], strict=True)
    (mean,) = [value for line, client, number, value in means if (line, client, number) == (at, None, 1)]
    assert mean == pytest.approx(expected, rel=1e-6)
    assert accessibility_faults(page) == []


def test_every_view_stands_behind_its_tab(pages: Pages, report: Path, run: Path) -> None:
    page = opened(pages, report, "view=study", "dark")
    tabs = page.locator("#views a").all_inner_texts()
    assert tabs == [
        "Study",
        "Rounds",
        "Layers",
        "Clients",
        "Heterogeneity",
        "Classes and training",
        "Table",
        "In words",
    ]
    for tab in tabs:
        page.click(f"#views a >> text={tab}")
        page.wait_for_selector(f"{DRAWN}[aria-label='{tab}']")
    assert page.locator("#view-findings dt").first.inner_text() == "data set"
    assert charted(page, "#clients-matrix")["facts"]["metric"] == "cka"
    assert page.locator("[role=alert]:visible").count() == 0
    assert "single records" in page.inner_text("#missing") and run.name in page.inner_text("#missing")


def test_the_round_is_selected_and_the_last_one_before_is_shown(pages: Pages, report: Path) -> None:
    page = opened(pages, report, "view=layers&metric=update_norm&round=1")
    assert charted(page, "#layers-heat")["facts"]["round"] == 1
    again = opened(pages, report, "view=layers&metric=update_norm&round=900")
    assert charted(again, "#layers-heat")["facts"]["round"] == 2


def test_what_is_not_in_it_says_so_in_its_place(pages: Pages, report: Path) -> None:
    page = opened(pages, report, "view=layers&layers.face=client&client=1")
    assert {*charted(page, "#layers-heat")["client"]} == {0, 1, 2, 3, 4}
    page = opened(pages, report, "view=clients&metric=cka&clients.setting=other")
    page.wait_for_selector("#clients-merging [role=alert]")
    assert page.inner_text("#clients-merging [role=alert]") == (
        "this is not part of the saved report: python -m fedlayers.report writes all that one can hold, "
        "python -m fedlayers.explore shows everything"
    )


def test_names_with_markup_stay_text(pages: Pages, tmp_path: Path) -> None:
    names = (("client_names", [f"{MARKUP}{k}" for k in range(3)]), ("classes", [f"{MARKUP}{k}" for k in range(5)]))
    study = tmp_path / "<b>study"
    for seed in (0, 1):
        write_run(study, Fake(rounds=3, overrides=names), seed=seed)
    page = opened(pages, write_report(study, answers=28), "view=clients&client=1")
    assert page.inner_text("#place") == "study <b>study: 2 runs"
    assert page.locator("#view img, #selection img, header img, header b").count() == 0
    assert f"{MARKUP}1" in page.locator("#selection [data-key=client] option").all_inner_texts()
    page.select_option("#selection select >> nth=0", index=1)
    page.wait_for_url("**run=**")


def rows_in_python(page: "Page", run: Path) -> Any:
    """Return what the line of Python above the rows gives, from the folder of all results on."""
    line = page.locator("#view-table code").inner_text().splitlines()[1]
    place = Path(*run.resolve().parts[:-3])
    return eval(line.replace("read('", f"read('{place}/"), {"fedlayers": fedlayers})


def test_rows_of_the_tables_are_chosen_by_what_is_selected(pages: Pages, report: Path, run: Path) -> None:
    page = opened(pages, report, "view=table")
    shown = charted(page, "#view-table .wide")
    assert "The report holds all" in page.inner_text("#view-table") and len(shown["metric"]) == 100
    wanted = rows_in_python(page, run)
    assert shown["metric"] == wanted["metric"].tolist()
    values = wanted["value"].astype(object).where(wanted["value"].notna(), None).tolist()
    assert shown["value"] == [value if value is None else pytest.approx(value, rel=1e-6) for value in values]
    page.get_by_role("button", name="on", exact=True).click()
    page.wait_for_selector("#view-table >> text=rows 101 to 200 of")
    assert charted(page, "#view-table .wide")["metric"] == rows_in_python(page, run)["metric"].tolist()
    page = opened(pages, report, "view=table&table=pairs&metric=cka&client=1&other=3")
    pairs = charted(page, "#view-table .wide")
    wanted = rows_in_python(page, run)
    assert len(wanted) and pairs["value"] == pytest.approx(wanted["value"].tolist(), rel=1e-6)
    assert {*pairs["client"]} == {1} and {*pairs["other"]} == {3}
    assert accessibility_faults(page) == []


def test_of_a_large_table_the_last_rounds_are_there_and_said(
    pages: Pages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "main", Fake(rounds=3))
    records = fedlayers.read(run).records
    few, last = records[records["round"] == 3], len(records[records["round"] >= 2])
    # Room for two rounds, and for less than one, of which all rows are kept as long as they are not too many.
    for most, said in ((last, "rounds 2 to 3"), (len(few) - 1, "round 3")):
        monkeypatch.setitem(MOST_ROWS, "records", most)
        page = opened(pages, write_report(run, answers=4), "view=table")
        assert f"The report holds the rows of {said}, " in page.inner_text("#view-table")
        wanted = rows_in_python(page, run)
        assert charted(page, "#view-table .wide")["metric"] == wanted["metric"].tolist() and len(wanted) == 100
    page = opened(pages, run / "report.html", "view=table&round=1")
    page.wait_for_selector("#view-table >> text=no rows")
    monkeypatch.setitem(MOST_ROWS, "records", 3)
    page = opened(pages, write_report(run, answers=4), "view=table")
    page.wait_for_selector("#view-table >> text=The report holds no rows of records")


def test_without_heterogeneity_the_view_says_what_measures_it(pages: Pages, report: Path) -> None:
    page = opened(pages, report, "view=heterogeneity")
    said = page.inner_text("#view-heterogeneity")
    assert "metrics=[heterogeneity] does" in said and "python -m fedlayers.explore" in said
    assert page.locator("#view-heterogeneity table, #view-heterogeneity canvas").count() == 0
