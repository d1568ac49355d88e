"""All trackers as one: nothing stops the training, every epoch is on the disk, and no framework is loaded."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import fedlayers
from fedlayers.figures.available import figures_of
from fedlayers.report.page import write_report
from metrics import MetricsManager
from metrics.tracking import drawing
from metrics.tracking.isolation import TrackingWarning
from tests.support.saved_pages import SavedPage
from tests.support.tracked_training import GROUPS, HMT_INFO, TwoHeads, answers, step

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def save(figure: Any, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return path

    monkeypatch.setattr(drawing, "save", save)


def manager_in(folder: Path, model: torch.nn.Module | None = None, **settings: Any) -> MetricsManager:
    return MetricsManager(
        model, list(GROUPS), GROUPS, hmt_info=HMT_INFO, save_dir=folder / "visualizations", **settings
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"model": "resnet"}, "model must be a torch.nn.Module, got str: it is not tracked"),
        ({"save_dir": 3}, "save_dir must be a path, got int: everything goes to visualizations"),
        ({"attributes": "pet"}, "must be a list of names"),
        ({"attributes": 3}, "attributes"),
        ({"label_to_idx_dict": 3}, "must be a dictionary of label"),
        ({"idx_to_label_dict": {"a": 1}}, "must give class -> place|must be a dictionary"),
    ],
)
def test_wrong_arguments_are_told_and_the_training_goes_on(
    wrong: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(TrackingWarning, match=sentence):
        manager = MetricsManager(**{"save_dir": tmp_path / "out", **wrong})
    with manager.epoch(1):
        manager.class_performance.update(torch.eye(3), torch.arange(3))
    assert manager.class_performance.results(1) and manager.gradients is None


def train(manager: MetricsManager, model: torch.nn.Module, epochs: int = 2) -> None:
    for epoch in range(1, epochs + 1):
        with manager.epoch(epoch, batch_size=48, num_samples=96):
            for batch in range(2):
                manager.update_batch(batch)
                with manager.component("step"):
                    step(model)
            manager.class_performance.update(*answers(model))


def test_a_training_leaves_a_folder_that_opens_like_a_run(tmp_path: Path) -> None:
    model = TwoHeads()
    with manager_in(tmp_path, model) as manager:
        train(manager, model)
        # Before the end what was tracked is there already.
        assert set(fedlayers.read(manager.save_dir).records["round"]) == {1, 2}
    assert manager.all_problems == []
    tables = fedlayers.read(manager.save_dir)
    measured = set(tables.records["metric"])
    assert {"class_f1", "tier_ap", "step_gradient_norm", "update_ratio", "norm", "attention_entropy"} <= measured
    assert measured <= set(tables.quantities)
    assert {"throughput", "component_s", "forward_flops"} <= set(tables.resources["metric"])
    assert {"layer_overview", "layer_profile_norm"} <= {figure.name for figure in figures_of(manager.save_dir)}
    assert "step_gradient_norm" in str(SavedPage(write_report(manager.save_dir)).answers)
    assert fedlayers.open(manager.save_dir).facts["status"] == "complete"
    found = json.loads((manager.save_dir / "all_metrics.json").read_text(), parse_constant=pytest.fail)
    assert found == manager.get_metrics() and found["version"] == 1 and found["epochs"] == [1, 2]
    assert not list(manager.save_dir.rglob("*.pkl")) + list(manager.save_dir.rglob("*.pt"))
    names = {path.relative_to(manager.save_dir).as_posix() for path in manager.save_dir.rglob("*.png")}
    assert {"class_metrics/crop_pr_curves.png", "class_metrics/part_class_distribution.png"} <= names
    assert {"training_dynamics/gradient_flow.png", "training_dynamics/attention_rollout_e2.png"} <= names
    assert {"resource_usage/component_times.png", "resource_usage/throughput.png"} <= names


def test_another_training_leaves_the_folder_of_the_first_alone(tmp_path: Path) -> None:
    for _ in range(2):
        manager = manager_in(tmp_path)
        manager.start_epoch(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            manager.update_epoch_results(*answers(TwoHeads()))
            manager.finalize()
        last = manager
    assert last.save_dir == tmp_path / "visualizations-2"
    assert "holds an earlier training: this one goes to" in last.all_problems[0]
    assert len(fedlayers.read(tmp_path / "visualizations").runs) == 1


def test_training_is_the_same_with_and_without(tmp_path: Path) -> None:
    plain, followed = TwoHeads(), TwoHeads()
    with manager_in(tmp_path, followed) as manager:
        train(manager, followed)
    for _ in range(4):
        step(plain)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), followed.parameters(), strict=True))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in followed.modules())


def test_calls_out_of_order_say_what_to_call(tmp_path: Path) -> None:
    manager = manager_in(tmp_path)
    for call, sentence in (
        (lambda: manager.update_epoch_results(*answers(TwoHeads())), "none has begun: call start_epoch"),
        (lambda: manager.start_epoch(cast(int, "one")), "epoch must be a whole number, 0 or more, got 'one'"),
        (lambda: manager.end_component("a"), "outside of an epoch is not timed: call start_epoch"),
    ):
        with pytest.warns(TrackingWarning, match=sentence):
            call()  # type: ignore[no-untyped-call]
    manager.start_epoch(1)
    with pytest.warns(TrackingWarning, match="epoch 1 was not ended before epoch 2: call update_epoch_results"):
        manager.start_epoch(2)
    with pytest.warns(TrackingWarning, match="needs both logits_dict and labels_dict"):
        manager.update_epoch_results(answers(TwoHeads())[0])
    with pytest.warns(TrackingWarning, match="epoch 2 was tracked already"):
        manager.start_epoch(2)
    with pytest.warns(TrackingWarning, match="start_tracking was called twice"):
        manager.start_tracking()
    with pytest.warns(TrackingWarning, match="epoch 2 was not ended before stop_tracking"):
        manager.finalize()
    manager.finalize()
    assert set(fedlayers.read(manager.save_dir).resources["round"]) == {1, 2}


def test_a_tracker_that_fails_is_told_once_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TwoHeads()
    manager = manager_in(tmp_path, model)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr("metrics.class_performance.counting.count_scores", fail)
    monkeypatch.setattr("metrics.training_dynamics.gradients.figures.gradient_flow", fail)
    with warnings.catch_warnings(record=True) as told, manager:
        warnings.simplefilter("always")
        train(manager, model, epochs=3)
    sentences = [str(one.message) for one in told if one.category is TrackingWarning]
    assert sum("ClassPerformanceTracker.update failed with RuntimeError" in sentence for sentence in sentences) == 1
    assert sum("CUDA out of memory" in sentence for sentence in sentences) == len(sentences) == 1 + 1
    # The figure fails alone.
    assert (manager.save_dir / "training_dynamics" / "weight_norm_changes.png").exists()
    assert set(fedlayers.read(manager.save_dir).records["round"]) == {1, 2, 3}
    assert json.loads((manager.save_dir / "all_metrics.json").read_text())["problems"] == manager.all_problems


def test_where_warnings_are_errors_the_training_goes_on(tmp_path: Path) -> None:
    manager = manager_in(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manager.update_epoch_results(torch.zeros(1), None)
    assert len(manager.all_problems) == 1


def test_a_folder_that_cannot_be_written_is_told_at_once_and_the_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "visualizations").write_text("a file")
    model = TwoHeads()
    with pytest.warns(
        TrackingWarning, match=r"save_dir .* cannot be written \(a file is in the way\): nothing"
    ) as told:
        manager = manager_in(tmp_path, model)
        with manager:
            train(manager, model)
    assert [str(one.message) for one in told if "save_dir" in str(one.message)] == manager.all_problems
    assert len(manager.all_problems) == 1  # of the folder, not of each tracker's
    assert manager.get_metrics()["class_performance"]["class_metrics"]["crop"]["wheat"]["support"] > 0


def test_an_exception_of_the_training_goes_on_and_what_was_tracked_stays(tmp_path: Path) -> None:
    model = TwoHeads()
    with pytest.raises(KeyboardInterrupt), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with manager_in(tmp_path, model) as manager:
            train(manager, model)
            with manager.epoch(3):
                raise KeyboardInterrupt
    assert set(fedlayers.read(tmp_path / "visualizations").records["round"]) >= {1, 2}


@pytest.mark.slow
def test_a_tracked_training_loads_no_framework_and_no_matplotlib_before_it_draws(tmp_path: Path) -> None:
    code = """
import sys
from metrics import MetricsManager
from metrics.class_performance import ClassPerformanceTracker
from metrics.resource_usage import ResourceMonitor
from metrics.training_dynamics import AttentionVisualizer, GradientTracker
from tests.support.tracked_training import TwoHeads, answers, step
model = TwoHeads()
manager = MetricsManager(model, save_dir="out")
manager.start_epoch(1)
step(model)
manager.update_epoch_results(*answers(model))
print(sorted({"flwr", "hydra", "omegaconf", "ray", "matplotlib", "seaborn"} & set(sys.modules)), manager.all_problems)
manager.trackers[0].draw = lambda: {}
manager.stop_tracking()
print(sorted({"flwr", "hydra", "omegaconf", "ray"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout == "[] []\n[]\n"


def test_two_managers_on_one_model_leave_its_forward_pass_alone(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    first, second = (MetricsManager(model=model, save_dir=tmp_path / name) for name in ("a", "b"))
    for manager in (first, second):
        manager.start_epoch(1)
    assert model(torch.zeros(4, 3)).shape == (4, 2)
    assert first.resources.flops == second.resources.flops != {}


def test_a_manager_that_saw_no_forward_pass_leaves_no_hook(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    manager = MetricsManager(model=model, save_dir=tmp_path)
    manager.start_tracking()
    manager.stop_tracking()
    assert not model._forward_pre_hooks and not model._forward_hooks
