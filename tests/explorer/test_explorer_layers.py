"""The view Layers: it draws what the tables say, and what is selected in it is selected everywhere."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fedlayers
from fedlayers.charts.layers.series import CHANGE
from fedlayers.core.records import Record
from tests.explorer.conftest import MARKUP
from tests.support.browser import accessibility_faults
from tests.support.chart_runs import run_with
from tests.support.charts_on_page import point_at, selected_on, steady, table_on, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

MEASURED = "fedavg"


@pytest.fixture(scope="module")
def measured(study: Path) -> Path:
    """Return the run with layers and pairs."""
    return next(run for run in study.iterdir() if MEASURED in run.name)


def test_it_draws_what_the_tables_say(open_page: Any, served: str, measured: Path) -> None:
    page: Page = open_page(f"{served}#run={measured.name}&view=layers&metric=norm&round=2")
    records = fedlayers.read(measured, metric="norm", round=2, moment="after_local").records
    heat, facts = table_on(page, "#layers-heat")
    assert heat.set_index(["client", "layer"])["value"].to_dict() == pytest.approx(
        records.set_index(["client", "layer"])["value"].to_dict()
    )
    assert facts["round"] == 2 and page.inner_text("#layers-heat h3") == "norm, after local training, round 2"
    profile, _ = table_on(page, "#layers-profiles > div")
    own = profile[profile["kind"] == "after_local"].set_index("layer")["mean"]
    assert own.to_dict() == pytest.approx(records.groupby("layer", observed=True)["value"].mean().to_dict())
    page.select_option("#layers-series select", CHANGE)
    until(page, "document.querySelector('#layers-heat').charted.facts.scale.colours === 'diverging'")
    assert selected_on(page)["layers.series"] == CHANGE


def test_a_cell_selects_its_client_and_layer_for_all_views_and_the_address_restores_them(
    open_page: Any, served: str, measured: Path
) -> None:
    page: Page = open_page(f"{served}#run={measured.name}&view=layers&metric=hessian_trace&round=10")
    point_at(page, "#layers-heat", [3, 2], click=True)
    steady(page, "layers")
    chosen = selected_on(page)
    assert (chosen["client"], chosen["layer"]) == (2, "head")
    spectra, facts = table_on(page, "#layers-spectra")
    rows = fedlayers.read(measured, metric="hessian_density", layer="head").spectra
    rows = rows[rows["round"] == 10]
    assert facts["layer"] == "head" and len(spectra) == sum(map(len, rows["x"]))
    titles = page.evaluate("document.querySelector('#layers-profiles > div .chart-canvas').getAttribute('aria-label')")
    assert "client 2" in titles
    again: Page = open_page(page.url)
    assert selected_on(again) == chosen
    assert again.locator("#selection select[data-key=client]").input_value() == "2"
    page.click("#views a[data-view=clients]")
    steady(page, "clients")
    assert table_on(page, "#clients-matrix")[1]["layer"] == "head"
    page.click("#views a[data-view=layers]")
    steady(page, "layers")
    point_at(page, "#layers-heat", [3, 2], click=True)  # what is selected is given free
    steady(page, "layers")
    assert "client" not in selected_on(page) and page.locator("#layers-spectra .note").is_visible()


def test_what_can_be_read_is_drawn_and_what_cannot_is_told(
    open_page: Any, serve: Any, measured: Path, tmp_path: Path
) -> None:
    shutil.copytree(measured, tmp_path / "copied")
    part = max((tmp_path / "copied" / "pairs").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:100])
    service = serve(tmp_path / "copied")
    try:
        page: Page = open_page(f"{service.address}#view=layers&metric=norm&round=2")
        assert len(table_on(page, "#layers-heat")[0]) and len(table_on(page, "#layers-profiles > div")[0])
        assert part.name in page.inner_text("#layers-damaged .told")
        page.click("#views a[data-view=clients]")
        steady(page, "clients")
        assert len(table_on(page, "#clients-holdings")[0])
        assert part.name in page.inner_text("#clients-damaged .told")
        assert "No two clients" not in page.inner_text("#view-clients")
    finally:
        service.stop()


def test_a_layer_is_chosen_with_keys(open_page: Any, served: str, measured: Path) -> None:
    page: Page = open_page(f"{served}#run={measured.name}&view=layers&metric=cka")
    page.locator("#layers-heat .chart-canvas").focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    steady(page, "layers")
    assert (selected_on(page)["client"], selected_on(page)["layer"]) == (0, "stage1.0.conv1")


@pytest.mark.parametrize("face", ["client", "layer"])
def test_metrics_of_one_client_or_layer_are_distances_from_the_other_clients(
    open_page: Any, served: str, measured: Path, face: str
) -> None:
    page: Page = open_page(f"{served}#run={measured.name}&view=layers&layers.face={face}&client=1&layer=head&round=10")
    frame, facts = table_on(page, "#layers-heat")
    rows = fedlayers.read(measured, metric="hessian_trace", layer="head").records
    trace = rows[rows["round"] == 10].set_index("client")["value"]
    away = trace - trace.median()
    here = frame[(frame["metric"] == "hessian_trace") & (frame["layer"] == "head")].set_index("client")["score"]
    assert here.to_dict() == pytest.approx((0.6745 * away / away.abs().median()).to_dict())
    metrics = list(dict.fromkeys(frame["metric"]))
    point_at(page, "#layers-heat", [facts["layers"].index("stem.conv") if face == "client" else 3, 0], click=True)
    steady(page, "layers")
    chosen = selected_on(page)
    assert chosen["metric"] == metrics[0]
    assert (chosen["client"], chosen["layer"]) == ((1, "stem.conv") if face == "client" else (3, "head"))


def test_names_with_markup_stay_text_and_nothing_is_out_of_reach(open_page: Any, served: str, study: Path) -> None:
    run = next(run for run in study.iterdir() if "fedprox" in run.name)
    page: Page = open_page(f"{served}#run={run.name}&view=layers&metric=norm")
    point_at(page, "#layers-heat", [0, 1])
    page.wait_for_selector("#layers-heat .chart-tip")
    assert f"client {MARKUP} 1" in page.inner_text("#layers-heat .chart-tip")
    assert page.locator("main img").count() == 0
    assert accessibility_faults(page) == []


def test_a_run_without_layers_says_so(open_page: Any, serve: Any, tmp_path: Path) -> None:
    run_with(tmp_path / "main", [Record("accuracy", 0.5, run="r", round=1, moment="final", owner="server")])
    service = serve(tmp_path / "main")
    page: Page = open_page(f"{service.address}#view=layers")
    assert page.inner_text("#view-layers > .note").startswith("Nothing was measured of single layers")
    page.click("#views a[data-view=clients]")
    steady(page, "clients")
    assert page.inner_text("#view-clients > .note").startswith("No two clients were compared")
    page.close()
    service.stop()
