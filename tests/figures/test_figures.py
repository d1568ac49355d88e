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
from matplotlib.image import AxesImage

from fedlayers.core.errors import UserError
from fedlayers.figures import available
from fedlayers.figures.clients.learning import learning_curves
from fedlayers.figures.clients.partition import partition_matrix
from fedlayers.figures.draw import draw_main
from fedlayers.figures.drawing.axes import label_categories
from fedlayers.figures.drawing.saving import save
from fedlayers.figures.drawing.style import new_figure
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.quantities import axis_label
from tests.support.drawn_figures import drawn, legend_of
from tests.support.fake_run import Fake, accuracy, write_run
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


def test_figures_are_written_and_leave_no_global_state(run: Path) -> None:
    before, figures = dict(mpl.rcParams), list(Gcf.figs)
    pictures = draw_main(run)
    assert [picture.stem for picture in pictures] == ["learning_curves", "partition", "layer_overview"]
    for picture in pictures:
        assert picture.parent == run / "figures"
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    assert dict(mpl.rcParams) == before
    assert list(Gcf.figs) == figures


def test_learning_curves_show_means_and_percentiles(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = learning_curves(tables.records, facts, KNOWN)
    assert figure is not None
    left, right = figure.axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("accuracy", axis_label(KNOWN["loss"]))
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


def test_validation_stands_in_for_test(tables: Tables, facts: Mapping[str, Any]) -> None:
    records = tables.records[tables.records["scope"] != "client_test"]
    figure = learning_curves(records, facts, KNOWN)
    assert figure is not None
    fake = Fake(clients=12, rounds=6, layers=5)
    _, y = drawn(figure.axes[0])["mean over clients, after local training"]
    assert y[0] == pytest.approx(np.mean([accuracy(fake, c, 1, "after_local") + 0.02 for c in range(12)]))
    assert learning_curves(records[:0], facts, KNOWN) is None


def test_partition_matrix_holds_the_counts(tables: Tables, facts: Mapping[str, Any]) -> None:
    figure = partition_matrix(tables.partition, facts)
    assert figure is not None
    main = next(axes for axes in figure.axes if axes.images)
    image = main.images[0]
    assert isinstance(image, AxesImage)
    counts = tables.partition.groupby(["label", "client"])["examples"].sum().unstack().to_numpy()
    shown = image.get_array()
    assert shown is not None
    np.testing.assert_array_equal(np.ma.filled(shown, 0), counts)
    total = int(tables.partition["examples"].sum())
    assert f"{total:,} examples at clients" in figure.get_suptitle().replace("\n", " ")
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


def test_units_come_from_the_metrics() -> None:
    assert axis_label(KNOWN["accuracy"]) == "accuracy"
    assert axis_label(KNOWN["no_such_metric"]) == "no such metric"
    assert axis_label(KNOWN["loss"]) == "loss (nat)"
    assert axis_label(KNOWN["update_norm"]) == "update norm"


def test_a_failing_figure_does_not_lose_the_others(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no records here")

    monkeypatch.setattr(available, "partition_matrix", fail)
    with caplog.at_level(logging.ERROR):
        pictures = draw_main(run)
    assert [picture.stem for picture in pictures] == ["learning_curves", "layer_overview"]
    assert "the figure partition could not be drawn: no records here" in caplog.text


def test_nothing_measured_draws_nothing(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    assert draw_main(tmp_path) == []


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is neither a run folder"):
        draw_main(tmp_path)


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
        figure = learning_curves(tables.records, facts, KNOWN)
        assert figure is not None
        picture = save(figure, tmp_path, "curves")
        written.append((picture.read_bytes(), picture.with_suffix(".pdf").read_bytes()))
    assert written[0] == written[1]


def test_a_partition_of_very_many_clients_shows_some_and_says_so() -> None:
    clients = range(3000)
    counts = pd.DataFrame({"client": clients, "scope": "client_train", "label": 0, "examples": 2})
    counts = counts.assign(client_name=counts["client"].astype(str), label_name="a")
    figure = partition_matrix(counts, {"clients": 3000})
    assert figure is not None
    assert "2,000 examples at 1,000 of 3,000 clients" in figure.get_suptitle().replace("\n", " ")
