from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from scipy import stats

from fedlayers.core.errors import UserError
from fedlayers.figures.available import figures_of
from fedlayers.figures.draw import draw_main
from fedlayers.figures.drawing.coinciding import NOTE
from fedlayers.figures.studies.curves import study_curves
from fedlayers.figures.studies.layers import study_overview, study_profile
from fedlayers.runs.reading.run_facts import run_folders
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.run_groups import settings_of
from tests.support.drawn_figures import drawn, legend_of
from tests.support.fake_run import Fake, accuracy, write_run

FAKE = Fake(clients=4, rounds=3, layers=4)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "grid"
    for algorithm, seeds in (("fedavg", 3), ("fedprox", 1)):
        for seed in range(seeds):
            write_run(folder, FAKE, algorithm=algorithm, seed=seed)
    write_run(folder, FAKE, seed=9, status="running")
    return folder


@pytest.fixture(scope="module")
def tables(study: Path) -> Tables:
    runs = tuple(run for run in run_folders(study) if "-s9-" not in run.name)
    return Tables(study, runs, several=True)


def interval(axes: Axes, at: float) -> tuple[float, float]:
    """Return the ends of the first band of an axes at a place."""
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    ends = band[np.isclose(band[:, 0], at, atol=0.3)][:, 1]
    return float(ends.min()), float(ends.max())


def test_curves_are_means_over_complete_runs(study: Path, tables: Tables) -> None:
    (setting,) = settings_of(tables.runs)
    figure = study_curves(tables.records, setting)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == [
        "accuracy\nclients' test\nafter local training",
        "accuracy\nclients' test\nafter aggregation",
        "accuracy\nserver's test set\nglobal model",
    ]
    bands = "bands: 95 % t interval over runs"
    # Losses of both are so near that one line hides the other.
    assert legend_of(figure) == ["fedavg (n = 3)", "fedprox (n = 1)", bands, NOTE]
    runs = [Fake(clients=4, rounds=3, layers=4, seed=seed) for seed in range(3)]
    means = np.array([[np.mean([accuracy(f, c, r, "after_local") for c in range(4)]) for r in (1, 2, 3)] for f in runs])
    x, y = drawn(figure.axes[0])["fedavg (n = 3)"]
    assert x.tolist() == [1, 2, 3]
    np.testing.assert_allclose(y, means.mean(0))
    expected = stats.t.interval(0.95, 2, loc=means[:, 1].mean(), scale=stats.sem(means[:, 1]))
    assert interval(figure.axes[0], 2.0) == pytest.approx(expected)
    x, _ = drawn(figure.axes[2])["fedavg (n = 3)"]
    assert x.tolist() == [0, 1, 2, 3]


def test_one_run_has_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path / "one", FAKE)
    tables = read(tmp_path / "one")
    (setting,) = settings_of(tables.runs)
    figure = study_curves(tables.records, setting)
    assert figure is not None
    assert legend_of(figure) == ["fedavg (n = 1)"]
    assert study_curves(tables.records[:0], setting) is None


def test_layer_profile_of_a_study(tables: Tables) -> None:
    (setting,) = settings_of(tables.runs)
    figure = study_profile(tables.records, "update_norm", setting)
    assert [axes.get_title() for axes in figure.axes] == ["round 1", "round 3", "", ""]
    assert figure.axes[0].get_ylabel() == "update norm\nclients, after local training"
    rows = tables.records.query("metric == 'update_norm' and moment == 'after_local' and algorithm == 'fedavg'")
    of_runs = rows[rows["round"] == 3].groupby(["run", "layer_index"], observed=True)["value"].mean().unstack()
    _, y = drawn(figure.axes[1])["fedavg (n = 3)"]
    np.testing.assert_allclose(y, of_runs.mean().to_numpy())
    figure = study_profile(tables.records, "b_dissimilarity", setting)
    assert figure.axes[0].get_ylabel() == "B dissimilarity\nserver, after local training"


def test_overview_of_a_study(tables: Tables) -> None:
    (setting,) = settings_of(tables.runs)
    figure = study_overview(tables.records, ["norm", "update_norm"], setting)
    rows = tables.records.query("metric == 'norm' and moment == 'after_local' and round == 3")
    rows = rows[rows["algorithm"] == "fedprox"]
    _, y = drawn(figure.axes[0])["fedprox (n = 1)"]
    np.testing.assert_allclose(y, rows.groupby("layer_index")["value"].mean())


def test_a_study_is_drawn_into_its_folder(study: Path) -> None:
    pictures = draw_main(study)
    assert [picture.name for picture in pictures] == ["learning_curves.png", "layer_overview.png"]
    assert {picture.parent for picture in pictures} == {study / "figures"}


def test_personal_models_stand_for_their_clients(tables: Tables) -> None:
    (setting,) = settings_of(tables.runs)
    records = tables.records.astype({"model": object})
    after = records[(records["moment"] == "after_aggregate") & (records["scope"] == "client_test")]
    own = after[after["algorithm"] == "fedprox"].assign(model="personal", value=0.25)
    figure = study_curves(pd.concat([records, own], ignore_index=True), setting)
    assert figure is not None
    lines = drawn(figure.axes[2])
    assert set(lines["fedprox (n = 1)"][1][1:]) == {0.25}
    assert 0.25 not in lines["fedavg (n = 3)"][1]


def test_no_complete_run(tmp_path: Path) -> None:
    write_run(tmp_path, status="running")
    with pytest.raises(UserError, match=r"no run of .* is complete: wait for one, or give the folder of a run"):
        figures_of(tmp_path)
