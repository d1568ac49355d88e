"""The trackers' figures of any run, in the documented folders, as far as its tables hold what they show."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import fedlayers
from fedlayers.commands.export import main
from fedlayers.core.errors import UserError
from fedlayers.export.tracking import tracking_export
from fedlayers.export.tracking.tracking_export import TrackingExport
from fedlayers.figures.available import figures_of
from fedlayers.figures.training.batch_sizes import batch_size_figures
from fedlayers.figures.training.class_scores import class_figures
from fedlayers.figures.training.dynamics import dynamics_figures
from metrics import MetricsManager
from metrics.class_performance import percentile_tiers
from metrics.resource_usage import ResourceMonitor
from metrics.resource_usage.batch_sweep import BatchMemory
from metrics.tracking import drawing
from tests.support.tracked_training import GROUPS, TwoHeads, answers, step


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture(scope="module")
def run(quick_run: Callable[..., Path]) -> Path:
    return quick_run(
        "engine=local", "metrics=[evaluation,classes,dynamics,resources]", "rounds=2", "snapshots.rounds=[all]",
        "metrics.classes.moments=[final]",
    )  # fmt: skip


def drawn(run: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return what the export draws, file -> words, laying out only one of them: that takes longest."""
    found: dict[str, str] = {}
    save = drawing.save

    def kept(figure: Any, path: Path) -> Path:
        found[f"{path.parent.name}/{path.stem}"] = texts(figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        return save(figure, path) if len(found) == 1 else path

    monkeypatch.setattr(tracking_export, "save", kept)
    written = TrackingExport(str(folder)).write(fedlayers.open(run))
    assert written.folder == folder / run.name and len(list(written.folder.rglob("*.png"))) == 1
    return found, written.notes


def test_a_federation_has_the_figures_of_its_records(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, notes = drawn(run, monkeypatch, tmp_path)
    assert {
        "class_metrics/classes_class_distribution", "class_metrics/classes_scores_by_class_type",
        "class_metrics/classes_pr_curves", "training_dynamics/gradient_flow", "training_dynamics/gradient_correlation",
        "training_dynamics/update_ratio", "training_dynamics/weight_norm_changes",
        "training_dynamics/weight_distribution", "resource_usage/memory_usage", "resource_usage/component_times",
        "resource_usage/component_pie_chart", "resource_usage/throughput", "resource_usage/forward_flops",
    } == found.keys()  # fmt: skip
    assert notes == (
        "training_dynamics lacks attention (metrics=[attention], of a model that attends)",
        "resource_usage lacks memory against batch size (python -m metrics.resource_usage MODULE:FUNCTION --save-dir "
        "RUN/batch_sizes measures it)",
    )
    assert not [name for name, words in found.items() if "epoch" in words]
    assert "band: lowest to highest client" in found["training_dynamics/gradient_flow"]
    assert "before training" in found["training_dynamics/weight_distribution"]
    assert "server_test" in found["class_metrics/classes_scores_by_class_type"]


def test_a_sweep_of_batch_sizes_in_a_runs_folder_is_drawn(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / run.name
    shutil.copytree(run, folder)
    monitor = ResourceMonitor(folder / "batch_sizes")
    monitor.add_sweep([BatchMemory(1, 10_000_000), BatchMemory(2, 12_000_000), BatchMemory(4, None, "out of memory")])
    monitor.write_all()
    [drawing] = [one for one in figures_of(folder) if one.name == "memory_vs_batch_size"]
    figure = drawing.make()
    assert figure is not None and "out of memory" in texts(figure)
    assert list(batch_size_figures(folder)) == ["memory_vs_batch_size"] and not batch_size_figures(run)


def test_a_run_has_them_among_its_own_figures(run: Path) -> None:
    figures = {one.name: one for one in figures_of(run)}
    main = {
        "classes_class_distribution", "classes_scores_by_class_type", "classes_pr_curves", "gradient_flow",
        "weight_distribution", "memory_usage", "component_times", "component_shares", "throughput",
    }  # fmt: skip
    assert main <= {name for name, one in figures.items() if one.main}
    on_request = {"gradient_correlation", "update_ratio", "weight_norm_changes"}
    assert on_request <= {name for name, one in figures.items() if not one.main}
    flow = figures["gradient_flow"].make()
    assert flow is not None and "round" in texts(flow) and "epoch" not in texts(flow)


def test_bars_and_lines_are_the_records(run: Path) -> None:
    opened = fedlayers.open(run)
    partition = opened.partition
    counts = partition[partition["scope"] == "client_train"].groupby("label_name", observed=True)["examples"].sum()
    made = class_figures(opened.tables)
    bars = [bar.get_height() for bar in made["classes_class_distribution"]().axes[0].patches if bar.get_height() > 0]
    assert bars == sorted(counts[counts > 0].tolist(), reverse=True)
    recalls = opened.records(metric="class_recall", owner="server", scope="server_test")
    tiers = percentile_tiers({str(name): float(count) for name, count in counts.items()})
    values = recalls["value"].groupby(recalls["subject"].astype(str).map(tiers)).mean()
    shown = texts(made["classes_scores_by_class_type"]())
    assert all(f"{100 * values[tier]:.1f}" in shown for tier in ("head", "medium", "tail") if tier in values)
    norms = opened.records(metric="step_gradient_norm", layer="fc1")
    [line] = [
        line for line in dynamics_figures(opened.tables)["gradient_flow"]().axes[0].lines if line.get_label() == "fc1"
    ]
    means = norms.groupby("round")["value"].mean()
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), means.to_numpy())


def test_little_has_few_figures_and_says_how_to_have_more(
    quick_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = quick_run("engine=local", "metrics=[weights]", "rounds=1")
    found, notes = drawn(bare, monkeypatch, tmp_path)
    assert "training_dynamics/weight_norm_changes" in found and "resource_usage/component_times" in found
    assert "class_metrics lacks class scores (metrics=[classes])" in notes
    assert main([str(bare), "--to", "tracking", "--out", str(tmp_path)]) == 1
    assert "exists already: delete it, or export into another folder" in capsys.readouterr().err
    with pytest.raises(UserError, match="exists already: delete it, or export into another folder"):
        TrackingExport(str(tmp_path)).write(fedlayers.open(bare))


def test_a_folder_of_trackers_has_its_attention_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = TwoHeads()
    with MetricsManager(model, list(GROUPS), GROUPS, save_dir=tmp_path / "mine") as manager:
        manager.generate_visualizations = lambda: []  # type: ignore[method-assign]
        for epoch in (1, 2):
            with manager.epoch(epoch):
                step(model)
                manager.class_performance.update(*answers(model))
    found, notes = drawn(tmp_path / "mine", monkeypatch, tmp_path / "out")
    assert {"class_metrics/crop_pr_curves", "training_dynamics/attention_rollout_e2"} <= found.keys()
    assert "training_dynamics/attention_evolution_encoder.layers.0.self_attn" in found
    assert len(notes) == 1 and "memory against batch size" in notes[0]
    assert "epoch 2" in found["training_dynamics/weight_distribution"]
