"""The view Clients: matrices in any order, dendrogram, map, streams of clusters, partition; and how fast it is."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fedlayers.core.records import Pair, Record
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.merging import average_linkage
from tests.support.browser import accessibility_faults
from tests.support.chart_runs import run_with
from tests.support.charts_on_page import point_at, selected_on, steady, table_on
from tests.support.fake_run import Fake
from tests.support.figure_tables import Measured, write_measured_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

CLIENTS, ROUNDS = 6, (1, 2, 4)
_TIMED = """async (view) => {
    const { set } = await moduleOf("fedlayers/address.js");
    const place = document.getElementById(`view-${view}`), took = [];
    for (const client of [3, 50, 99, 7, 42]) {
        const before = performance.now();
        set({ client, layer: view === "layers" ? "layer 7" : null });
        while (place.hasAttribute("aria-busy")) await new Promise((resolve) => setTimeout(resolve));
        for (const canvas of place.querySelectorAll(".chart-canvas")) echarts.getInstanceByDom(canvas)?.getZr().flush();
        took.push(performance.now() - before);
    }
    return took.sort((a, b) => a - b);
}"""
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Even and odd clients are far from each other; client 5 changes sides in the last round."""
    where: dict[str, Any] = {"run": "r", "moment": "after_local", "owner": "server"}
    rows: list[Record] = []
    for number in ROUNDS:
        for one, two in combinations(range(CLIENTS), 2):
            value = 1.0 + 0.1 * one + 0.01 * number + 4.0 * ((one + two) % 2)
            ends: dict[str, Any] = {
                "client": one,
                "other": two,
                "other_round": number,
                "subject": "clients",
                "round": number,
            }
            rows.append(Pair("cluster_distance", value, variant="l2", **ends, **where))
        for client in range(CLIENTS):
            cluster = 1.0 if (number, client) == (4, 5) else 1.0 + client % 2
            rows.append(Record("cluster", cluster, client=client, variant="l2", round=number, **where))
    names = [f"{MARKUP} {client}" for client in range(CLIENTS)]
    study = tmp_path_factory.mktemp("results") / "main"
    return run_with(study, rows, {"client_names": names}, Fake(clients=CLIENTS))


@pytest.fixture(scope="module")
def address(serve: Any, tables: Tables) -> Iterator[str]:
    service = serve(tables.path)
    yield f"{service.address}#view=clients"
    service.stop()


@pytest.fixture(scope="module")
def many(serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """100 clients and 20 layers."""
    where: dict[str, Any] = {"run": "r", "moment": "after_local", "round": 1}
    draws = np.random.default_rng(0)
    rows: list[Record] = [
        Record("norm", float(draws.lognormal()), client=client, layer=f"layer {layer}", layer_index=layer,
               owner="client", **where)
        for client in range(100) for layer in range(20)
    ]  # fmt: skip
    rows += [
        Pair("cluster_distance", float(draws.random()), client=one, other=two, other_round=1, subject="clients",
             owner="server", variant="l2", **where)
        for one, two in combinations(range(100), 2)
    ]  # fmt: skip
    layers = [{"name": f"layer {layer}", "index": layer, "kind": "linear", "parameters": 9} for layer in range(20)]
    study = tmp_path_factory.mktemp("results") / "main"
    service = serve(run_with(study, rows, {"layers": layers}, Fake(clients=100)).path)
    yield service.address
    service.stop()


def test_it_draws_what_the_tables_say(open_page: Any, address: str, tables: Tables) -> None:
    page: Page = open_page(f"{address}&round=3")
    matrix, facts = table_on(page, "#clients-matrix")
    rows = tables.pairs[tables.pairs["round"] == 2]  # the last one before round 3 in which clients were compared
    assert facts["round"] == 2 and "round 2 is shown" in page.inner_text("#clients-matrix figcaption")
    assert (
        matrix.set_index(["client", "other"])["value"].to_dict()
        == rows.set_index(["client", "other"])["value"].to_dict()
    )
    merging, _ = table_on(page, "#clients-merging")
    square = np.zeros((CLIENTS, CLIENTS))
    square[matrix["client"], matrix["other"]] = square[matrix["other"], matrix["client"]] = matrix["value"]
    heights = merging.groupby("merger")["y"].max()
    np.testing.assert_allclose(np.sort(heights), np.sort(average_linkage(square)[:, 2]))
    places, _ = table_on(page, "#clients-map")
    assert (places["kind"] == "client").sum() == CLIENTS
    flows, _ = table_on(page, "#clients-flows")
    assert flows["members"].tolist() == ["0, 2, 4", "1, 3, 5", "0, 2, 4", "5", "1, 3"]
    held, _ = table_on(page, "#clients-holdings")
    assert held.loc[held["split"] == "all", "examples"].sum() == tables.partition["examples"].sum()


def test_names_on_the_map_cover_no_other(open_page: Any, serve: Any, tmp_path: Path) -> None:
    service = serve(write_measured_run(tmp_path / "main", Measured(clients=24, layers=2)))
    try:
        for width in (1280, 1920):
            page: Page = open_page(f"{service.address}#view=clients", width=width, expected=("ERR_CONNECTION_REFUSED",))
            page.wait_for_selector("#clients-map canvas")
            boxes: list[list[Any]] = page.evaluate(
                """() => echarts.getInstanceByDom(document.querySelector("#clients-map .chart-canvas"))
                    .getZr().storage.getDisplayList(true).filter((one) => one.style.fontSize === 10 && one.style.text)
                    .map((one) => { const { x, y, width, height } = one.getBoundingRect();
                        return [one.style.text, x, y, x + width, y + height]; })"""
            )
            assert 12 <= len({name for name, *_ in boxes}) == len(boxes) <= 24
            for (_, *one), (_, *two) in combinations(boxes, 2):
                apart = one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
                assert apart, (width, one, two)
    finally:
        service.stop()


def test_a_pair_is_selected_in_the_order_that_is_chosen_and_the_address_restores_it(
    open_page: Any, address: str
) -> None:
    page: Page = open_page(address)
    assert page.locator("#clients-order option").all_inner_texts() == ["number", "cluster (l2), round 4", "merging"]
    # By cluster of the last round: 0, 2, 4, 5, 1, 3.
    point_at(page, "#clients-matrix", [3, 1], click=True)
    steady(page, "clients")
    assert (selected_on(page)["client"], selected_on(page)["other"]) == (2, 5)
    page.select_option("#clients-order select", "number")
    steady(page, "clients")
    point_at(page, "#clients-matrix", [3, 1], click=True)
    steady(page, "clients")
    chosen = selected_on(page)
    assert (chosen["client"], chosen["other"]) == (1, 3)
    again: Page = open_page(page.url)
    assert selected_on(again) == chosen
    page.click("#views a[data-view=layers]")
    steady(page, "layers")
    assert page.locator("#selection select[data-key=client]").input_value() == "1"


def test_clusters_of_a_round_select_it_and_clients_of_the_partition_are_selected(open_page: Any, address: str) -> None:
    page: Page = open_page(address)
    table_on(page, "#clients-flows")
    node = page.evaluate("""() => {
        const canvas = document.querySelector("#clients-flows .chart-canvas"), chart = echarts.getInstanceByDom(canvas);
        const { x, y, dx, dy } = chart.getModel().getSeriesByIndex(0).getGraph().getNodeById("1/1").getLayout();
        canvas.scrollIntoView({ block: "center" });
        const box = canvas.getBoundingClientRect();
        return [box.x + 8 + x + dx / 2, box.y + 26 + y + dy / 2];
    }""")
    page.mouse.click(*node)
    steady(page, "clients")
    assert selected_on(page)["round"] == 1 and table_on(page, "#clients-matrix")[1]["round"] == 1
    held, _ = table_on(page, "#clients-holdings")
    at = held[(held["split"] == "all") & (held["client"] == 4) & (held["examples"] > 0)].iloc[0]
    point_at(page, "#clients-holdings", [int(at["label"]), 4], click=True)
    steady(page, "clients")
    assert (selected_on(page)["client"], selected_on(page)["class"]) == (4, at["label_name"])


def test_names_with_markup_stay_text_and_nothing_is_out_of_reach(open_page: Any, address: str) -> None:
    page: Page = open_page(address)
    point_at(page, "#clients-matrix", [3, 1])
    page.wait_for_selector("#clients-matrix .chart-tip")
    tip = page.inner_text("#clients-matrix .chart-tip").splitlines()
    assert tip[0] == f"client {MARKUP} 2, client {MARKUP} 5" and tip[1].startswith("cluster distance: 5.2")
    assert page.locator("main img").count() == 0
    assert accessibility_faults(page) == []


def test_equal_clients_and_one_that_lacks_values_are_drawn(open_page: Any, serve: Any, tmp_path: Path) -> None:
    where: dict[str, Any] = {"run": "r", "moment": "after_local", "owner": "server", "round": 1, "subject": "clients"}
    equal = [Pair("cka", 1.0, client=one, other=two, other_round=1, layer="head", layer_index=0, **where)
             for one, two in combinations(range(3), 2)]  # fmt: skip
    odd = [Pair("cka", value, client=one, other=3, other_round=1, layer="head", layer_index=0, **where)
           for one, value in enumerate((float("inf"), float("nan"), 1.0))]  # fmt: skip
    service = serve(run_with(tmp_path / "main", [*equal, *odd], fake=Fake(clients=4)).path)
    page: Page = open_page(f"{service.address}#view=clients")
    matrix, _ = table_on(page, "#clients-matrix")
    assert matrix["value"].isna().sum() == 2
    assert "1 without a value: the value is inf" in page.inner_text("#clients-matrix figcaption")
    assert "without 1 clients that lack values" in page.inner_text("#clients-merging figcaption")
    page.close()
    service.stop()


@pytest.mark.parametrize("view", ["layers", "clients"])
def test_a_selection_is_redrawn_at_once_at_100_clients_and_20_layers(
    open_page: Any, many: str, view: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page: Page = open_page(f"{many}#view={view}&metric={'norm' if view == 'layers' else 'cluster_distance'}")
    table_on(page, "#layers-heat" if view == "layers" else "#clients-matrix")
    meter = page.context.new_cdp_session(page)
    meter.send("Performance.enable", {"timeDomain": "threadTicks"})

    def computed() -> float:
        known = meter.send("Performance.getMetrics")["metrics"]
        return next(1000 * float(one["value"]) for one in known if one["name"] == "TaskDuration")

    before = computed()
    took = page.evaluate(_TIMED, view)
    each = (computed() - before) / len(took)
    with capsys.disabled():
        told = f"{took[2]:.0f} ms (median of {len(took)}), computing {each:.0f} ms (mean)"
        print(f"\n{view}: a selection of 100 clients × 20 layers is redrawn in {told}")
    assert selected_on(page)["client"] == 42
