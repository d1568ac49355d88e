from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import fedlayers
from fedlayers.commands.plot import main
from fedlayers.figures.available import figures_of
from fedlayers.figures.chain.correlation_matrix import correlation_matrix
from fedlayers.figures.drawing.saving import save
from fedlayers.views.chain.groups import ChainStudy
from fedlayers.views.chain.layer_values import last_layer_values
from fedlayers.views.run_groups import setting_of
from tests.support.chain_tables import Chain, probe_accuracy, write_chain
from tests.support.drawn_figures import drawn, legend_of, overlapping

OF_RUN = {
    "research_questions", "metric_distributions", "layer_progression", "correlation_matrix", "train_val_comparison",
    "all_metrics_overview", "heatmap", "timeline",
}  # fmt: skip
OF_STUDY = (OF_RUN - {"train_val_comparison", "all_metrics_overview", "timeline"}) | {
    "architecture_comparison", "multi_run",
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "chains"
    for seed in range(2):
        write_chain(folder, Chain("mlp", seed=seed))
        write_chain(folder, Chain("greedy_mlp", seed=seed, slope=0.15))
    return folder


@pytest.fixture(scope="module")
def run(study: Path) -> Path:
    return study / Chain("mlp").name


@pytest.fixture(scope="module")
def figure(study: Path, run: Path) -> Callable[..., Figure]:
    """Draw a figure of the run or, of the study, by name."""
    found = {folder: {one.name: one for one in figures_of(folder)} for folder in (run, study)}

    def draw(name: str, of_study: bool = False) -> Figure:
        made = found[study if of_study else run][name].make()
        assert made is not None
        return made

    return draw


def matrix(axes: Axes) -> Any:
    """Return the values of an image, masked where it has none."""
    return np.ma.asarray(axes.images[0].get_array())


def test_every_kind_is_there(study: Path, run: Path) -> None:
    assert {one.family for one in figures_of(run)} >= OF_RUN
    assert {one.family for one in figures_of(study)} >= OF_STUDY


def test_a_timeline_has_a_line_per_layer(figure: Callable[..., Figure], run: Path) -> None:
    (axes,) = figure("timeline_probe_accuracy").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("round", "probe accuracy")
    lines = drawn(axes)
    assert list(lines) == ["fc1", "fc2", "fc3", "fc4"]
    expected = [probe_accuracy(Chain(), 3, number) for number in (1, 2)]
    assert lines["fc4"][1] == pytest.approx(expected, abs=0.05)
    (one,) = fedlayers.read(run).plot("timeline", metric="probe_accuracy", layers=["fc2"]).axes
    assert list(drawn(one)) == ["fc2"]


def test_the_overview_has_a_panel_per_metric(figure: Callable[..., Figure]) -> None:
    panels = figure("all_metrics_overview").axes
    assert [axes.get_title().split("\n")[0] for axes in panels] == [
        "ACE JS (nat)", "anchor accuracy", "CKA previous", "participation ratio (dimensions)", "probe accuracy",
    ]  # fmt: skip
    assert list(drawn(panels[2])) == ["fc2", "fc3", "fc4"]


def test_training_and_validation_stand_beside_their_difference(figure: Callable[..., Figure]) -> None:
    left, right = figure("train_val_comparison_accuracy").axes
    assert drawn(left)["training examples"][1].tolist() == pytest.approx([0.7, 0.8])
    assert drawn(left)["validation examples"][1].tolist() == pytest.approx([0.61, 0.71])
    assert drawn(right)["training examples less validation examples"][1].tolist() == pytest.approx([0.09, 0.09])
    assert figure("train_val_comparison_loss").axes[0].get_ylabel() == "loss (nat)"


def test_heat_maps_have_rounds_or_runs_by_layers(figure: Callable[..., Figure]) -> None:
    for of_study, rows in ((False, 2), (True, 4)):
        axes, bar = figure("heatmap_probe_accuracy", of_study).axes
        values = matrix(axes).data
        assert values.shape == (rows, 4) and bar.get_ylabel() == "probe accuracy"
        assert [text.get_text() for text in axes.get_xticklabels()] == ["fc1", "fc2", "fc3", "fc4"]
        assert len(axes.texts) == values.size


def test_bars_of_architectures_are_means_over_runs(figure: Callable[..., Figure]) -> None:
    drawing = figure("architecture_comparison_probe_accuracy", of_study=True)
    (axes,) = drawing.axes
    heights = [patch.get_height() for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(heights) == 8
    assert np.mean(heights[:4]) > np.mean(heights[4:]) + 0.05  # greedy_mlp comes first and rises more
    assert legend_of(drawing)[:2] == ["greedy_mlp (n = 2)", "mlp (n = 2)"]


@pytest.mark.parametrize("name", ["heatmap_probe_accuracy", "architecture_comparison_probe_accuracy"])
def test_labels_do_not_overlap(figure: Callable[..., Figure], name: str) -> None:
    assert overlapping(figure(name, of_study=True)) == []


def test_several_runs_have_a_line_each(figure: Callable[..., Figure]) -> None:
    drawing = figure("multi_run_probe_accuracy", of_study=True)
    assert [axes.get_title() for axes in drawing.axes] == ["fc1", "fc2", "fc3", "fc4"]
    assert {len(axes.lines) for axes in drawing.axes} == {4}
    assert legend_of(drawing) == ["greedy_mlp, fedavg (2 runs)", "mlp, fedavg (2 runs)"]


def test_distributions_and_progression_say_how_many_values(figure: Callable[..., Figure]) -> None:
    titles = [axes.get_title() for axes in figure("metric_distributions", of_study=True).axes]
    assert titles[-1] == "probe accuracy\nn = 16"  # four layers of four runs
    titles = [axes.get_title() for axes in figure("layer_progression", of_study=True).axes]
    assert titles[-1] == "probe accuracy\nn = 8"  # two rounds of four runs


def test_correlations_say_over_what(figure: Callable[..., Figure], run: Path) -> None:
    drawing = figure("correlation_matrix", of_study=True)
    values = matrix(drawing.axes[0]).data
    assert values.shape == (5, 5) and values.diagonal().tolist() == pytest.approx([1.0] * 5)
    assert values[1, 4] > 0.9 and values[3, 4] < -0.8  # accuracies go together, dimensions fall
    assert drawing.get_suptitle().endswith("over layers of 4 runs, n = 8 to 16")
    one = ChainStudy.of(fedlayers.read(run).records, [setting_of(run)])
    rows = last_layer_values(one)
    alone = correlation_matrix(rows, one.quantities, one.facts)
    assert alone is not None and "over layers of 1 run, n = 2 to 4" in alone.get_suptitle().replace("\n", " · ")
    assert np.ma.getmaskarray(matrix(alone.axes[0]))[0, 2]  # two layers have both
    flat = correlation_matrix(rows.assign(value=1.0), one.quantities, one.facts)
    assert flat is not None and np.ma.getmaskarray(matrix(flat.axes[0])).all()
    assert correlation_matrix(rows[rows["metric"] == "ace_js"], one.quantities, one.facts) is None


def test_one_round_is_drawn_alone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run), "--round", "1", "--list"]) == 0
    names = capsys.readouterr().out.split()
    assert "heatmap_probe_accuracy" in names and "timeline_probe_accuracy" not in names
    made = fedlayers.read(run).plot("heatmap", metric="probe_accuracy", round=1)
    assert save(made, tmp_path, "one", ("png",)).stat().st_size > 1000
