"""The samples of docs/how-to/track-training.md run as they are written, in a loop that knows nothing of fedlayers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fedlayers
from metrics import MetricsManager
from metrics.tracking import drawing
from tests.support.tracked_training import GROUPS, HMT_INFO, TwoHeads, answers, step

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "track-training.md"
SAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let figures be made, but not laid out and drawn, which takes most of the time."""
    monkeypatch.chdir(tmp_path)

    def save(figure: Any, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        return path

    monkeypatch.setattr(drawing, "save", save)


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """What the samples take for granted."""
    model = TwoHeads()
    logits, labels = answers(model)
    yield {
        "model": model,
        "attributes": list(GROUPS),
        "label_to_idx_dict": GROUPS,
        "idx_to_label_dict": {group: {at: name for name, at in places.items()} for group, places in GROUPS.items()},
        "hmt_info": HMT_INFO,
        "epochs": 2,
        "epoch_num": 1,
        "train_dataloader": range(3),
        "train_dataset": range(96),
        "batch_size": 32,
        "num_samples": 96,
        "logits_dict": logits,
        "labels_dict": labels,
        "train": step,
        "predict": answers,
    }


def test_there_are_all_samples() -> None:
    assert len(SAMPLES) == 7


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
@pytest.mark.filterwarnings("ignore:no gradient was seen", "ignore:no attention was seen")
def test_a_sample_runs_as_it_is_written(sample: str, names: dict[str, Any], tmp_path: Path) -> None:
    exec(compile(sample, str(PAGE), "exec"), names)
    if "train_with_metrics" in names:
        names["tracker"] = MetricsManager(attributes=names["attributes"], label_to_idx_dict=GROUPS)
        assert names["train_with_metrics"](names["model"], names["tracker"]) is names["model"]
        assert set(fedlayers.read(tmp_path / "visualizations").records["round"]) == {1, 2}
        names["train_with_metrics"](names["model"])
    tracker = next(names[name] for name in ("metrics_manager", "tracker", "visualizer", "monitor") if name in names)
    assert all("failed" not in problem for problem in getattr(tracker, "all_problems", tracker.problems))
    assert list(tmp_path.rglob("*.png"))
    files = list(tmp_path.rglob("*metrics.json"))
    assert files and all(json.loads(path.read_text(), parse_constant=pytest.fail)["version"] == 1 for path in files)
    assert json.dumps(tracker.get_metrics(), allow_nan=False)


def test_one_group_needs_no_names_and_no_model() -> None:
    manager = MetricsManager()
    manager.start_epoch(1)
    logits = nn.functional.one_hot(torch.tensor([0, 1, 2, 2]), 4).float()
    manager.update_epoch_results(logits, torch.tensor([0, 1, 2, 0]))
    manager.finalize()
    found = manager.get_metrics()["class_performance"]["class_metrics"]["classes"]
    assert found["0"]["recall"] == 0.5 and found["1"]["f1"] == 1.0
    assert found["3"]["status"] == "absent" and found["3"]["recall"] is None
    assert manager.all_problems == []
