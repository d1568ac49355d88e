from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedlayers.core.records import Record, Row, addressed, to_table
from fedlayers.figures.drawing.scale import scale_for
from fedlayers.figures.drawing.small_multiples import small_multiples
from fedlayers.figures.drawing.style import new_figure
from fedlayers.figures.layers.overview import layer_overview
from fedlayers.figures.layers.profiles import layer_profile
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.profiles import layer_metrics
from tests.support.drawn_figures import bands, bars, drawn, legend_of, overlapping
from tests.support.fake_run import Fake, write_run
from tests.support.figure_tables import Measured, frame, layer_rows, trace_of
from tests.support.quantities import KNOWN


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("results") / "main", Fake(clients=12, rounds=6, layers=5))


@pytest.fixture(scope="module")
def tables(run: Path) -> Tables:
    return read(run)


@pytest.fixture(scope="module")
def facts(run: Path) -> Mapping[str, Any]:
    return run_facts(run)


def test_layer_profile_by_round_moment_and_variant(tables: Tables, facts: Mapping[str, Any]) -> None:
    assert layer_metrics(tables.records) == ["b_dissimilarity", "norm", "share_small", "update_cosine", "update_norm"]
    figure = layer_profile(tables.records, "update_norm", facts, KNOWN)
    first, last = figure.axes
    assert (first.get_title(), last.get_title()) == ("round 1", "round 6")
    rows = tables.records.query("metric == 'update_norm' and moment == 'after_local' and round == 6")
    x, y = drawn(last)["mean over clients, after local training"]
    np.testing.assert_allclose(x, np.arange(5), atol=0.3)
    np.testing.assert_allclose(y, rows.groupby("layer_index")["value"].mean())
    names = [label.get_text() for label in last.get_xticklabels()]
    assert names == ["stem.conv", "stage1.0.conv1", "stage1.0.conv2", "stage1.1.conv1", "head"]
    figure = layer_profile(tables.records, "share_small", facts, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["share small\n0.01", "", "share small\n0.1", ""]


def test_layer_profile_counts_what_is_missing(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = layer_profile(tables.records, "update_cosine", facts, KNOWN)
    assert figure.axes[0].get_title() == "round 1 · 2 of 120 missing"


def test_server_values_show_standard_error_and_chance(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = layer_profile(tables.records, "b_dissimilarity", facts, KNOWN)
    lines = drawn(figure.axes[0])
    np.testing.assert_allclose(lines["server, after local training ± 1 standard error"][1], 1.5 + np.arange(5))
    np.testing.assert_allclose(lines["chance level"][1], 1.0)


def test_many_decades_are_drawn_on_a_log_scale(tmp_path: Path) -> None:
    run = write_run(tmp_path, layers=20, clients=3, rounds=2)
    figure = layer_profile(read(run).records, "update_norm", run_facts(run), KNOWN)
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert "bands: lowest to highest of clients" in legend_of(figure)


def test_values_of_single_classes_only_where_there_is_no_whole(run: Path, facts: Mapping[str, Any]) -> None:
    address = {"run": "r", "round": 1, "moment": "after_local", "owner": "client", "model": "global", "client": 0}
    rows = [Record("m", 1.0, layer="a", layer_index=0), Record("m", 9.0, layer="a", layer_index=0, subject="cat")]
    records = to_table("records", addressed(rows, **address)).to_pandas()
    figure = layer_profile(records, "m", facts, KNOWN)
    assert drawn(figure.axes[0])["client, after local training"][1].tolist() == [1.0]
    rows = [Record("m", value, layer="a", layer_index=0, subject=str(value)) for value in (2.0, 5.0)]
    figure = layer_profile(to_table("records", addressed(rows, **address)).to_pandas(), "m", facts, KNOWN)
    assert drawn(figure.axes[0])["client, after local training"][1].tolist() == [3.5]
    assert "mean over 2.0, 5.0" in figure.get_suptitle()


def test_steps_inside_local_training_are_kept_apart(facts: Mapping[str, Any]) -> None:
    address = {"run": "r", "round": 1, "moment": "after_local", "owner": "client", "model": "global"}
    ends: list[Row] = [Record("m", 20.0, layer="a", layer_index=0, client=client) for client in (0, 1)]
    steps: list[Row] = [
        Record("m", 1.0 * step, layer="a", layer_index=0, client=client, step=step)
        for client, most in ((0, 9), (1, 10))
        for step in range(1, most)
    ]
    figure = layer_profile(to_table("records", addressed(ends + steps, **address)).to_pandas(), "m", facts, KNOWN)
    assert drawn(figure.axes[0])["mean over clients, after local training"][1].tolist() == [20.0]
    assert "step" not in figure.get_suptitle()
    figure = layer_profile(to_table("records", addressed(steps, **address)).to_pandas(), "m", facts, KNOWN)
    assert drawn(figure.axes[0])["mean over clients, after local training"][1].tolist() == [8.5]
    assert "at the last step measured" in figure.get_suptitle()


def test_layers_without_values_leave_a_gap(facts: Mapping[str, Any]) -> None:
    address = {"run": "r", "round": 1, "moment": "after_local", "owner": "server", "model": "global"}
    values = (1.0, float("nan"), 3.0)
    rows = [
        Record("m", v, layer=f"l{i}", layer_index=i, status="ok" if v == v else "missing") for i, v in enumerate(values)
    ]
    figure = layer_profile(to_table("records", addressed(rows, **address)).to_pandas(), "m", facts, KNOWN)
    _, y = drawn(figure.axes[0])["server, after local training"]
    np.testing.assert_array_equal(y, values)


def test_models_share_a_panel_unless_a_moment_has_both(facts: Mapping[str, Any]) -> None:
    def row(moment: str, model: str) -> Record:
        return Record("m", 1.0, layer="a", layer_index=0, client=0, round=1, moment=moment, model=model, owner="client")

    rows = [row("after_local", "personal"), row("after_aggregate", "global")]
    figure = layer_profile(to_table("records", rows).to_pandas(), "m", facts, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m"]
    both = [*rows, row("after_aggregate", "personal")]
    figure = layer_profile(to_table("records", both).to_pandas(), "m", facts, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m\nglobal", "m\npersonal"]


def made_up(**changes: Any) -> tuple[pd.DataFrame, dict[str, Any]]:
    measured = Measured(**changes)
    return frame(list(layer_rows(measured)), "records"), measured.facts


def test_a_single_value_has_its_standard_error() -> None:
    records, facts = made_up(clients=1)
    figure = layer_profile(records, "sensitivity_cumulative", facts, KNOWN)
    label = "client, after local training ± 1 standard error"
    _, y = drawn(figure.axes[0])[label]
    np.testing.assert_allclose(bars(figure.axes[0])[label], 0.03 * y)


def test_normalisation_layers_without_values_are_passed_over() -> None:
    records, facts = made_up(norms=True)
    figure = layer_profile(records, "sensitivity_cumulative", facts, KNOWN)
    axes = figure.axes[0]
    x, y = drawn(axes)["mean over clients, after local training"]
    np.testing.assert_allclose(x, [0, 2, 3, 5])
    assert np.isfinite(y).all()
    assert axes.get_title() == "round 1"
    x, _ = drawn(layer_profile(records, "gradient_variance_parameters", facts, KNOWN).axes[0])[
        "mean over clients, after local training"
    ]
    np.testing.assert_allclose(x, range(6))


def test_chance_is_a_band_where_its_end_is_known() -> None:
    records, facts = made_up()
    figure = layer_profile(records, "probe_accuracy", facts, KNOWN)
    assert bands(figure.axes[0])["chance: mean to 95 % quantile"] == pytest.approx((0.1, 0.15))
    np.testing.assert_allclose(drawn(figure.axes[0])["chance level"][1], 0.1)
    assert legend_of(figure)[-3:] == ["chance level", "chance: mean to 95 % quantile", legend_of(figure)[-1]]
    one = records[records["layer_index"] == 2]
    assert bands(layer_profile(one, "probe_accuracy", facts, KNOWN).axes[0])["chance: mean to 95 % quantile"][1] == 0.15


def test_of_ranked_eigenvalues_the_first_is_shown() -> None:
    records, facts = made_up()
    figure = layer_profile(records, "hessian_eigenvalue", facts, KNOWN)
    _, y = drawn(figure.axes[0])["mean over clients, after local training"]
    np.testing.assert_allclose(y, [5.0 * (layer + 1 + 2) for layer in range(6)])
    assert "the largest in magnitude" in figure.get_suptitle()


def test_exact_and_estimated_layers_share_a_line(facts: Mapping[str, Any]) -> None:
    address = {"run": "r", "round": 1, "moment": "after_local", "owner": "server", "model": "global"}
    rows = [Record("m", 1.0 + i, layer=f"l{i}", layer_index=i, variant=v) for i, v in enumerate(("exact", "sketch"))]
    figure = layer_profile(to_table("records", addressed(rows, **address)).to_pandas(), "m", facts, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m\nexact / sketch"]
    assert drawn(figure.axes[0])["server, after local training"][1].tolist() == [1.0, 2.0]


def test_both_sides_of_zero_over_decades() -> None:
    def chosen(values: list[float], metric: str = "hessian_trace") -> str:
        axes = new_figure(4, 3).add_subplot()
        scale_for(axes, values, KNOWN[metric])
        return axes.get_yscale()

    assert chosen([-1.0, 1e-3, 10.0, 3.0]) == "symlog"
    assert chosen([-1.0, 1e-3, 10.0, -3.0]) == "linear"
    assert chosen([-1.0, 0.5, 2.0]) == "linear"
    assert chosen([1e-3, 10.0]) == "log"
    assert chosen([-1.0, 1e-3, 0.9], "update_cosine") == "linear"
    assert chosen([-1.0, 1e-3, 10.0], "unknown") == "linear"
    assert chosen([np.nan, np.nan]) == "linear"
    assert chosen([0.0, 0.0]) == "linear"


@pytest.mark.parametrize(
    "values", [[-3e4, 2e-3, 5e6, 1.0], [-1e-9, 3.0, 7.0, 8.0], [-5e8, -1.0, 0.0, -2.0], [-1.0, 1e-3, 10.0, 1.0]]
)
def test_labels_about_zero_do_not_overlap(values: list[float]) -> None:
    figure = new_figure(4, 2.2)
    axes = figure.add_subplot()
    axes.plot(values)
    scale_for(axes, values, KNOWN["hessian_trace"])
    assert axes.get_yscale() == "symlog"
    assert 0.0 in axes.get_yticks() and len(axes.get_yticks()) <= 8
    assert not overlapping(figure)


def test_profile_of_a_trace_is_its_mean() -> None:
    records, facts = made_up()
    figure = layer_profile(records, "hessian_trace", facts, KNOWN)
    assert figure.axes[0].get_ylabel() == "Hessian trace (nat)"
    for axes, server_round in zip(figure.axes, (1, 10), strict=True):
        _, y = drawn(axes)["mean over clients, after local training"]
        means = [np.mean([trace_of(client, layer, server_round) for client in range(5)]) for layer in range(6)]
        np.testing.assert_allclose(y, means)


def test_overview_has_a_panel_for_each_metric() -> None:
    records, facts = made_up(norms=True)
    metrics = layer_metrics(records)
    figure = layer_overview(records, metrics, facts, KNOWN)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == [
        "gradient variance parameters", "Hessian eigenvalue (nat)", "Hessian trace (nat)", "probe accuracy",
        "sensitivity cumulative",
    ]  # fmt: skip
    _, y = drawn(figure.axes[2])["mean over clients, after local training"]
    np.testing.assert_allclose(y, [np.mean([trace_of(c, layer, 10) for c in range(5)]) for layer in range(6)])
    assert not overlapping(figure)


@pytest.mark.parametrize("panels", [1, 2, 5, 7, 20])
def test_small_panels_end_with_a_full_row(panels: int) -> None:
    figure, axes = small_multiples(panels, (2.7, 1.5))
    assert len(axes) == len(figure.axes) == panels
    places = [(place.rowspan.start, place.colspan.start) for a in axes if (place := a.get_subplotspec())]
    assert places == sorted(places)
    last = max(row for row, _ in places)
    columns = max(column for _, column in places) + 1
    assert sum(row == last for row, _ in places) == columns


@pytest.mark.parametrize(("panels", "columns"), [(1, 1), (2, 2), (3, 3), (4, 2), (6, 3), (20, 4)])
def test_small_panels_leave_few_places_empty(panels: int, columns: int) -> None:
    _, axes = small_multiples(panels, (2.7, 1.8))
    assert len({place.colspan.start for one in axes if (place := one.get_subplotspec())}) == columns
