"""Reads a run folder as the tools of the chain of metric predictors do, written from its description."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

# The metrics of its table, of which the last two are its slow ones.
TABLE = (
    "accuracy", "probe_accuracy", "cross_entropy", "alignment", "margin", "ace_regularizer", "mutual_information",
    "gaussian_entropy", "f1_score", "linear_cka", "participation_ratio", "ridge_r2",
)  # fmt: skip


class TheirRun:
    """A folder ``runs/<data set>/<model>/<number>_<date>/``.

    Attributes:
        config: what ``params.yaml`` holds.
        log: a row for each line of ``log.jsonl``, metrics of layers in columns ``layer_0_accuracy`` and so on.
    """

    def __init__(self, folder: Path) -> None:
        assert re.fullmatch(r"\d{4}_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
        self.folder = folder
        self.config: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
        with (folder / "log.jsonl").open() as lines:
            self.log = pd.DataFrame([_flat(json.loads(line)) for line in lines])

    def curve(self, phase: str, name: str) -> pd.Series:
        """Return a column of one phase by epoch."""
        return self.log[self.log["phase"] == phase].set_index("epoch")[name]

    def last_values(self, metric: str, phase: str) -> list[float]:
        """Return the last value of a metric at each layer that has one."""
        names = [f"layer_{layer}_{metric}" for layer in range(int(self.config["layers"]) + 1)]
        return [float(self.curve(phase, name).dropna().iloc[-1]) for name in names if name in self.log]

    def weights(self, name: str) -> list[np.ndarray]:
        """Return the weight matrices of a checkpoint."""
        found = torch.load(self.folder / f"{name}.pt", map_location="cpu", weights_only=True)
        assert found["cfg"] == self.config
        return [own.numpy() for key, own in found["model"].items() if key.endswith("weight") and own.ndim == 2]

    def test(self) -> tuple[float, np.ndarray, dict[str, Any]]:
        """Return accuracy, confusion matrix and class report."""
        results = json.loads((self.folder / "test_results.json").read_text())
        report = json.loads((self.folder / "class_report.json").read_text())
        return results.get("acc", results.get("acc_last")), np.load(self.folder / "confusion.npy"), report


def _flat(entry: dict[str, Any]) -> dict[str, Any]:
    layers = entry.pop("metrics", {})
    return entry | {f"{layer}_{name}": value for layer, own in layers.items() for name, value in own.items()}
