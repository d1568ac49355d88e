"""What a training loop may get wrong: a sentence each that says what to give or to call, and the training goes on."""

import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import fedlayers
from fedlayers.core.machine.disk import DiskError
from fedlayers.core.tables.row_folder import RowFolder
from metrics.class_performance import ClassPerformanceTracker
from metrics.class_performance.given_counts import fitting
from metrics.resource_usage import ResourceMonitor
from metrics.tracking.isolation import TrackingWarning
from metrics.training_dynamics import AttentionVisualizer, GradientTracker
from tests.support.tracked_training import HMT_INFO, TwoHeads, answers, step

ODD = [-1, 1.5, math.nan, "x", True, [], object()]
NAMES = {"pet": {"cat": 0, "dog": 1, "owl": 2}}


@pytest.mark.filterwarnings("ignore::metrics.tracking.isolation.TrackingWarning")
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_whatever_a_method_is_given_is_answered_in_words(odd: Any, tmp_path: Path) -> None:
    monitor = ResourceMonitor(tmp_path / "resources")
    monitor.start_epoch(odd)
    monitor.start_epoch(1)
    for call in (monitor.start_component, monitor.end_component, monitor.count_flops, monitor.update_batch):
        call(odd)
    if odd != []:
        monitor.add_sweep(odd)
    monitor.end_epoch(odd, odd)
    assert monitor.epochs[0].throughput is None and monitor.epochs[0].batch_size is None
    classes = ClassPerformanceTracker(hmt_info={"pet": odd}, train_counts={"pet": odd}, save_dir=tmp_path / "classes")
    classes.start_epoch(odd)
    classes.update(odd, odd)
    classes.update({"pet": odd}, {"pet": torch.zeros(1)})
    classes.end_epoch(odd)
    dynamics, attention = GradientTracker(TwoHeads(), tmp_path / "g"), AttentionVisualizer(TwoHeads(), tmp_path / "a")
    for tracker in (dynamics, attention):
        tracker.start_epoch(odd)
        tracker.update(odd)
    for told in (monitor.problems, classes.problems, dynamics.problems, attention.problems):
        assert not [problem for problem in told if "failed with" in problem]
        assert any("must be" in problem for problem in told)


def test_examples_below_one_have_no_throughput_and_the_sentence_says_what_to_give(tmp_path: Path) -> None:
    monitor = ResourceMonitor(tmp_path)
    monitor.start_epoch(1)
    with pytest.warns(TrackingWarning, match=r"num_samples must be a whole number, 1 or more, got -5: it is left out"):
        monitor.end_epoch(num_samples=-5)
    assert monitor.epochs[0].throughput is None


COUNTS: dict[str, tuple[str, Any, str]] = {
    "unknown class": (
        "hmt_info",
        {"head": {"cat": 9}, "medium": {"dgo": 3}, "tail": {"owl": 1}},
        "names dgo, which is no class of pet: give some of cat, dog, owl",
    ),
    "lacking class": ("train_counts", {"cat": 9, "owl": 1}, r"train_counts\['pet'\] lacks dog: the tier of what it"),
    "two tiers": ("hmt_info", {"head": ["cat", "dog"], "tail": ["dog", "owl"]}, "has dog in two tiers: the later one"),
    "no count": ("own_counts", {"cat": "many", "dog": 1, "owl": 2}, r"own_counts\['pet'\]\['cat'\] must be a number"),
    "no classes": ("hmt_info", {"head": 3, "medium": ["dog"]}, r"hmt_info\['pet'\]\['head'\] must be a dictionary of"),
    "no dictionary": ("train_counts", [1, 2, 3], r"train_counts\['pet'\] must be a dictionary, got list"),
}


@pytest.mark.parametrize("case", COUNTS)
def test_counts_that_do_not_fit_the_classes_are_told_and_the_others_used(case: str, tmp_path: Path) -> None:
    argument, given, sentence = COUNTS[case]
    arguments: dict[str, Any] = {argument: {"pet": given}}
    with pytest.warns(TrackingWarning, match=sentence):
        tracker = ClassPerformanceTracker(label_to_idx_dict=NAMES, save_dir=tmp_path, **arguments)
    tracker.update(torch.eye(3), torch.arange(3))
    assert tracker.get_metrics()["class_metrics"]["pet"]["cat"]["support"] == 1
    assert "no class" not in str(fitting("hmt_info", "pet", list(NAMES["pet"]), None))


def test_a_misspelt_group_is_told_and_one_that_nobody_asked_for_is_not(tmp_path: Path) -> None:
    with pytest.warns(TrackingWarning, match="hmt_info names pte, which is no label group: give some of pet"):
        ClassPerformanceTracker(label_to_idx_dict=NAMES, hmt_info={"pte": {"head": ["cat"]}}, save_dir=tmp_path / "a")
    with pytest.warns(TrackingWarning, match="hmt_info must be a dictionary of label groups, got list"):
        ClassPerformanceTracker(label_to_idx_dict=NAMES, hmt_info=[3], save_dir=tmp_path / "b")  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = ClassPerformanceTracker(["crop"], hmt_info=HMT_INFO, save_dir=tmp_path / "c")
        chosen.update(torch.zeros(2, 5), torch.zeros(2, dtype=torch.long))
    assert not chosen.problems


@pytest.mark.parametrize(
    "arguments", [{"attributes": "pet"}, {"label_to_idx_dict": 3}, {"idx_to_label_dict": {"a": 1}}]
)
def test_maps_that_are_none_are_a_sentence(arguments: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"must be a list of names|must be a dictionary of label|must give class -> place"
    ):
        ClassPerformanceTracker(**arguments, save_dir=tmp_path)


def test_what_is_left_out_of_every_batch_is_told_once(tmp_path: Path) -> None:
    tracker = ClassPerformanceTracker(save_dir=tmp_path)
    with pytest.warns(
        TrackingWarning, match=r"1 outputs that are NaN or infinite in classes are left out; .*told once"
    ):
        for count in (1, 2, 3):
            logits = torch.zeros(4, 3).index_fill(0, torch.arange(count), torch.inf)
            tracker.update(logits, torch.zeros(4, dtype=torch.long))
    assert len(tracker.problems) == 1
    masked = torch.tensor([[1.0, -torch.inf, 0.0], [0.0, -torch.inf, 1.0]])
    tracker.update(masked, torch.tensor([0, 2]))
    found = tracker.get_metrics()["class_metrics"]["classes"]
    assert [found[label]["support"] for label in "012"] == [3 + 2 + 1 + 1, 0, 1] and len(tracker.problems) == 1


def test_trackers_of_one_training_share_a_folder_and_its_tables(tmp_path: Path) -> None:
    model = TwoHeads()
    gradients, attention = GradientTracker(model, tmp_path), AttentionVisualizer(model, tmp_path)
    with gradients.hooks(), attention.hooks():
        step(model)
    gradients.update(1)
    attention.update(1)
    gradients.save()
    assert attention.save() == gradients.save_dir == tmp_path
    tables = fedlayers.read(tmp_path)
    assert {"step_gradient_norm", "attention_entropy"} <= set(tables.records["metric"])
    assert {"step_gradient_norm", "attention_entropy"} <= set(tables.quantities)
    with pytest.warns(TrackingWarning, match="holds an earlier training: this one goes to .*-2"):
        second = GradientTracker(model, tmp_path)
    assert second.save_dir == tmp_path.with_name(f"{tmp_path.name}-2")


def test_a_folder_that_another_process_or_tracker_writes_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    code = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); print(); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", code, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "\n"
        with pytest.warns(TrackingWarning, match=r"is written by another process: this one goes to .*out-2"):
            mine = ResourceMonitor(folder)
        other.communicate("\n")
    with pytest.warns(TrackingWarning, match="out-2 is written by another tracker of this process"):
        third = ResourceMonitor(folder.with_name("out-2"))
    assert [mine.save_dir.name, third.save_dir.name] == ["out-2", "out-2-2"]
    assert ResourceMonitor(folder).save_dir == folder


def test_a_full_disk_is_told_once_and_the_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from metrics import MetricsManager
    from metrics.tracking import drawing

    def full(*_: Any) -> Path:
        raise OSError(28, "No space left on device")

    manager = MetricsManager(save_dir=tmp_path / "out")
    manager.start_epoch(1)
    manager.update_epoch_results(*answers(TwoHeads()))
    monkeypatch.setattr(drawing, "save", full)
    with pytest.warns(TrackingWarning, match="generate_visualizations failed with OSError .*No space left"):
        manager.finalize()
    assert sum("No space left" in problem for problem in manager.all_problems) == 1
    assert fedlayers.read(tmp_path / "out").records["metric"].str.startswith("class_").any()


def test_what_no_longer_fits_on_the_disk_is_told_once_in_words_of_ones_own_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metrics import MetricsManager

    manager = MetricsManager(save_dir=tmp_path / "out")

    def full(*_: Any) -> None:
        raise DiskError(f"cannot write {tmp_path}: the disk is full; start the same command again")

    monkeypatch.setattr(RowFolder, "write", full)
    with pytest.warns(TrackingWarning, match="the disk is full: what it should hold is not saved, the train"):
        for epoch in (1, 2):
            manager.start_epoch(epoch)
            manager.update_epoch_results(*answers(TwoHeads()))
    assert len(manager.all_problems) == 1 and "command" not in manager.all_problems[0]


@pytest.mark.parametrize(
    ("tracker", "given", "sentence"),
    [
        (GradientTracker, "resnet", "got 'resnet': give the module itself"),
        (AttentionVisualizer, None, "model must be the torch.nn.Module that trains, got None"),
        (ResourceMonitor, 5, "save_dir must be the path of a folder, got 5: give a text or a Path"),
    ],
)
def test_what_is_no_model_or_no_folder_is_said_where_it_is_given(tracker: Any, given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        tracker(given)
