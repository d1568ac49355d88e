import logging
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from fedlayers.errors import UserError
from fedlayers.figures import draw as drawing
from fedlayers.figures import draw_run
from fedlayers.figures.layers import layer_metrics, layer_profile
from fedlayers.figures.learning import learning_curves
from fedlayers.figures.partition import partition_matrix
from fedlayers.figures.quantities import axis_label, unit_of
from fedlayers.figures.spread import spans_decades, spread_over_clients
from fedlayers.figures.style import label_categories, new_figure, save
from fedlayers.records import Record, addressed, to_table
from fedlayers.tables import Tables, read, run_facts
from tests.fake_run import Fake, accuracy, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("results") / "main", Fake(clients=12, rounds=6, layers=5))


@pytest.fixture(scope="module")
def tables(run: Path) -> Tables:
    return read(run)


@pytest.fixture(scope="module")
def facts(run: Path) -> Mapping[str, Any]:
    return run_facts(run)


def drawn(axes: Axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return label -> x and y of the lines of an axes."""
    lines = {str(line.get_label()): line for line in axes.lines}
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            lines[str(container.get_label())] = container[0]
    return {label: (np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for label, line in lines.items()}


def test_figures_are_written_and_leave_no_global_state(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, figures = dict(mpl.rcParams), list(Gcf.figs)
    monkeypatch.setattr(drawing, "layer_metrics", lambda _: ["norm"])
    pictures = draw_run(run)
    assert [picture.stem for picture in pictures] == ["learning_curves", "partition", "layer_profile_norm"]
    for picture in pictures:
        assert picture.parent == run / "figures"
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert dict(mpl.rcParams) == before
    assert list(Gcf.figs) == figures


def test_learning_curves_show_means_and_percentiles(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = learning_curves(tables.records, facts)
    assert figure is not None
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("accuracy", axis_label("loss"))
    fake = Fake(clients=12, rounds=6, layers=5)
    x, y = drawn(left)["mean over clients, after local training"]
    np.testing.assert_array_equal(x, np.arange(1, 7))
    values = np.array([[accuracy(fake, c, r, "after_local") for c in range(12)] for r in range(1, 7)])
    np.testing.assert_allclose(y, values.mean(1))
    x, _ = drawn(left)["mean over clients, after aggregation"]
    np.testing.assert_array_equal(x, np.arange(7))
    band = np.asarray(left.collections[0].get_paths()[0].vertices)
    at_last = band[np.isclose(band[:, 0], 6)][:, 1]
    np.testing.assert_allclose([at_last.min(), at_last.max()], np.quantile(values[-1], [0.1, 0.9]))
    _, server = drawn(left)["server's test set, global model"]
    np.testing.assert_allclose(server, [accuracy(fake, 0, r, "after_aggregate") - 0.03 for r in range(7)])
    assert "bands and bars: 10th to 90th percentile of clients" in legend_of(figure)


def legend_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_validation_stands_in_for_test(tables: Tables, facts: Mapping[str, Any]) -> None:
    records = tables.records[tables.records["scope"] != "client_test"]
    figure = learning_curves(records, facts)
    assert figure is not None
    fake = Fake(clients=12, rounds=6, layers=5)
    _, y = drawn(figure.axes[0])["mean over clients, after local training"]
    assert y[0] == pytest.approx(np.mean([accuracy(fake, c, 1, "after_local") + 0.02 for c in range(12)]))
    assert learning_curves(records[:0], facts) is None


def test_partition_matrix_holds_the_counts(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = partition_matrix(tables.partition, facts)
    assert figure is not None
    main = next(axes for axes in figure.axes if axes.images)
    image = main.images[0]
    assert isinstance(image, AxesImage)
    counts = tables.partition.groupby(["label", "client"])["records"].sum().unstack().to_numpy()
    shown = image.get_array()
    assert shown is not None
    np.testing.assert_array_equal(np.ma.filled(shown, 0), counts)
    total = int(tables.partition["records"].sum())
    assert f"{total:,} records at clients" in figure.get_suptitle().replace("\n", " ")
    assert partition_matrix(tables.partition[:0], facts) is None


@pytest.mark.parametrize(("clients", "classes"), [(3, 2), (100, 62), (1, 10)])
def test_partition_labels_do_not_overlap(tmp_path: Path, clients: int, classes: int) -> None:
    run = write_run(tmp_path, clients=clients, classes=classes, rounds=1)
    figure = partition_matrix(read(run).partition, run_facts(run))
    assert figure is not None
    figure.draw_without_rendering()
    main = next(axes for axes in figure.axes if axes.images)
    for labels in (main.get_xticklabels(), main.get_yticklabels()):
        boxes = [label.get_window_extent() for label in labels if label.get_text()]
        assert not any(one.overlaps(two) for one, two in pairwise(boxes))


def test_layer_profile_by_round_moment_and_variant(tables: Tables, facts: Mapping[str, Any]) -> None:
    assert layer_metrics(tables.records) == ["b_dissimilarity", "norm", "share_small", "update_cosine", "update_norm"]
    figure = layer_profile(tables.records, "update_norm", facts)
    first, last = figure.axes
    assert (first.get_title(), last.get_title()) == ("round 1", "round 6")
    rows = tables.records.query("metric == 'update_norm' and moment == 'after_local' and round == 6")
    x, y = drawn(last)["mean over clients, after local training"]
    np.testing.assert_allclose(x, np.arange(5), atol=0.3)
    np.testing.assert_allclose(y, rows.groupby("layer_index")["value"].mean())
    names = [label.get_text() for label in last.get_xticklabels()]
    assert names == ["stem.conv", "stage1.0.conv1", "stage1.0.conv2", "stage1.1.conv1", "head"]
    figure = layer_profile(tables.records, "share_small", facts)
    assert [axes.get_ylabel() for axes in figure.axes] == ["share small\n0.01", "", "share small\n0.1", ""]


def test_layer_profile_counts_what_is_missing(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = layer_profile(tables.records, "update_cosine", facts)
    assert figure.axes[0].get_title() == "round 1 · 2 of 120 missing"


def test_server_values_show_standard_error_and_chance(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = layer_profile(tables.records, "b_dissimilarity", facts)
    lines = drawn(figure.axes[0])
    np.testing.assert_allclose(lines["server, after local training ± 1 standard error"][1], 1.5 + np.arange(5))
    np.testing.assert_allclose(lines["chance level"][1], 1.0)


def test_log_scale_needs_positive_values_over_two_decades() -> None:
    assert spans_decades([1e-3, 1.0])
    assert not spans_decades([0.0, 1e-3, 1.0])
    assert not spans_decades([0.1, 1.0, np.nan])
    assert not spans_decades([])


def test_many_decades_are_drawn_on_a_log_scale(tmp_path: Path) -> None:
    run = write_run(tmp_path, layers=20, clients=3, rounds=2)
    figure = layer_profile(read(run).records, "update_norm", run_facts(run))
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert "bands: lowest to highest of clients" in legend_of(figure)


def test_spread_agrees_with_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame({"round": np.repeat([2, 1], 15), "value": generator.normal(size=30), "stderr": np.nan})
    spread = spread_over_clients(rows, "round")
    np.testing.assert_array_equal(spread.x, [1, 2])
    for place, number in enumerate((1, 2)):
        values = [value for r, value in zip(rows["round"], rows["value"], strict=True) if r == number]
        assert spread.mean[place] == pytest.approx(sum(values) / 15)
        assert spread.low[place] == pytest.approx(float(np.percentile(values, 10)))
        assert spread.high[place] == pytest.approx(float(np.percentile(values, 90)))
    few = spread_over_clients(rows[:3], "round")
    assert (few.low[0], few.high[0]) == (rows["value"][:3].min(), rows["value"][:3].max())


def test_values_of_single_classes_only_where_there_is_no_whole(run: Path, facts: Mapping[str, Any]) -> None:
    address = {"run": "r", "round": 1, "moment": "after_local", "owner": "client", "model": "global", "client": 0}
    rows = [Record("m", 1.0, layer="a", layer_index=0), Record("m", 9.0, layer="a", layer_index=0, subject="cat")]
    records = to_table("records", addressed(rows, **address)).to_pandas()
    figure = layer_profile(records, "m", facts)
    assert drawn(figure.axes[0])["client, after local training"][1].tolist() == [1.0]
    rows = [Record("m", value, layer="a", layer_index=0, subject=str(value)) for value in (2.0, 5.0)]
    figure = layer_profile(to_table("records", addressed(rows, **address)).to_pandas(), "m", facts)
    assert drawn(figure.axes[0])["client, after local training"][1].tolist() == [3.5]
    assert "mean over classes" in figure.get_suptitle()


def test_units_come_from_the_metrics() -> None:
    assert unit_of("accuracy") == ""
    assert unit_of("no_such_metric") == ""
    assert axis_label("loss") == "loss (nat)"
    assert axis_label("update_norm") == "update norm"


def test_a_failing_figure_does_not_lose_the_others(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no records here")

    monkeypatch.setattr(drawing, "partition_matrix", fail)
    monkeypatch.setattr(drawing, "layer_metrics", lambda _: ["norm"])
    with caplog.at_level(logging.ERROR):
        pictures = draw_run(run)
    assert [picture.stem for picture in pictures] == ["learning_curves", "layer_profile_norm"]
    assert "the figure partition could not be drawn: no records here" in caplog.text


def test_nothing_measured_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    assert draw_run(tmp_path) == []


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is neither a run folder"):
        draw_run(tmp_path)


def test_layers_without_values_leave_a_gap(facts: Mapping[str, Any]) -> None:
    address = {"run": "r", "round": 1, "moment": "after_local", "owner": "server", "model": "global"}
    values = (1.0, float("nan"), 3.0)
    rows = [
        Record("m", v, layer=f"l{i}", layer_index=i, status="ok" if v == v else "missing") for i, v in enumerate(values)
    ]
    figure = layer_profile(to_table("records", addressed(rows, **address)).to_pandas(), "m", facts)
    _, y = drawn(figure.axes[0])["server, after local training"]
    np.testing.assert_array_equal(y, values)


@pytest.mark.parametrize(("count", "longest", "rotation"), [(3, 5, 0.0), (12, 14, 45.0), (60, 14, 90.0), (100, 2, 0.0)])
def test_labels_turn_and_thin_out(count: int, longest: int, rotation: float) -> None:
    axes = new_figure(5, 3).add_subplot()
    label_categories(axes, [str(i).rjust(longest, "x") for i in range(count)], inches=4.5)
    shown = axes.get_xticklabels()
    assert {label.get_rotation() for label in shown} == {rotation}
    assert len(shown) <= 4.5 / 0.14


def test_files_are_the_same_each_time(tmp_path: Path, tables: Tables, facts: Mapping[str, Any]) -> None:
    written = []
    for _ in range(2):
        figure = learning_curves(tables.records, facts)
        assert figure is not None
        picture = save(figure, tmp_path, "curves")
        written.append((picture.read_bytes(), picture.with_suffix(".pdf").read_bytes()))
    assert written[0] == written[1]


def test_models_share_a_panel_unless_a_moment_has_both(facts: Mapping[str, Any]) -> None:
    def row(moment: str, model: str) -> Record:
        return Record("m", 1.0, layer="a", layer_index=0, client=0, round=1, moment=moment, model=model, owner="client")

    rows = [row("after_local", "personal"), row("after_aggregate", "global")]
    figure = layer_profile(to_table("records", rows).to_pandas(), "m", facts)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m"]
    both = [*rows, row("after_aggregate", "personal")]
    figure = layer_profile(to_table("records", both).to_pandas(), "m", facts)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m\nglobal", "m\npersonal"]
