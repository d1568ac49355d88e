"""Heart disease: patients of four hospitals, the natural groups of a small real federation."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check
from fedlayers.data.download import Download, fetch
from fedlayers.data.source import Arrays, DatasetFacts, damaged

HOSPITALS = {"cleveland": 303, "hungarian": 294, "switzerland": 123, "va": 200}
ALWAYS_USED = ("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak")
ATTRIBUTES = (*ALWAYS_USED, "slope", "ca", "thal")  # the three that are mostly missing come last
CATEGORICAL = frozenset({"sex", "cp", "fbs", "restecg", "exang", "slope", "thal"})
ADDRESS = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/"


class Heart:
    """Patients of Cleveland, Budapest, Zurich and Basel, and Long Beach; no official test set.

    Only ``?`` counts as missing. The hospitals also wrote 0 where cholesterol was not measured (all of
    Switzerland, 49 of Long Beach); these zeros stay as they are in the files.

    Args:
        classes: 5 (diagnosis 0 to 4) or 2 (diagnosis 0, and 1 to 4 as disease).
        features: 13 (all attributes), or 10: without slope, ca and thal, of which 309, 611 and 486 of the 920 values
            are missing, nearly all of them outside Cleveland. Ten inputs is also what the network of PLayer-FL has.

    Raises:
        UserError: if either is another number.

    References:
        Janosi, Steinbrunn, Pfisterer and Detrano 1988, Heart disease, doi:10.24432/C52P4X.
    """

    def __init__(self, classes: int = 5, features: int = 10) -> None:
        check(classes in (2, 5), "dataset.classes", "5 (diagnosis 0 to 4) or 2 (healthy or not)", classes)
        check(features in (10, 13), "dataset.features", "10 (without slope, ca and thal) or 13", features)
        self.classes = classes
        self.columns = ATTRIBUTES[:features]

    def files(self, root: Path) -> Sequence[Path]:
        """Return the four hospitals' files; those that are missing are downloaded."""
        downloads = [
            Download(f"{ADDRESS}processed.{hospital}.data", "heart", None, rows=rows)
            for hospital, rows in HOSPITALS.items()
        ]
        return fetch("Heart", downloads, root)

    def read(self, root: Path) -> Arrays:
        """Return all patients, shape (n, d), NaN where a value is missing, hospital after hospital."""
        parts = [_read_file(path) for path in self.files(root)]
        table = np.concatenate(parts)
        diagnosis = table[:, -1].astype(np.int64)
        grades = ("no disease", "grade 1", "grade 2", "grade 3", "grade 4")
        facts = DatasetFacts(
            grades if self.classes == 5 else ("no disease", "disease"),
            group_names=tuple(HOSPITALS),
            columns=self.columns,
            categorical=tuple(name for name in self.columns if name in CATEGORICAL),
        )
        labels = diagnosis if self.classes == 5 else np.minimum(diagnosis, 1)
        groups = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return Arrays(table[:, : len(self.columns)].astype(np.float32), labels, facts, groups)


def _read_file(path: Path) -> np.ndarray:
    """Return one hospital's table, shape (n, 14), the diagnosis last."""
    text = path.read_text(encoding="ascii", errors="replace")
    lines = [(number, line.split(",")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise damaged(path, "it has no lines")
    return np.array([_numbers(row, path, number) for number, row in lines])


def _numbers(row: Sequence[str], path: Path, line: int) -> list[float]:
    """Return one patient's values, NaN for those that are missing."""
    width = len(ATTRIBUTES) + 1
    if len(row) != width:
        raise damaged(path, f"line {line} does not have {width} values")
    try:
        values = [math.nan if value.strip() == "?" else float(value) for value in row]
    except ValueError as error:
        raise damaged(path, f"line {line}: {error}") from error
    if any(not math.isfinite(value) for value, text in zip(values, row, strict=True) if text.strip() != "?"):
        raise damaged(path, f"line {line} has a value that is not finite; only ? is missing")
    if values[-1] not in range(5):
        raise damaged(path, f"line {line}: a diagnosis is not 0, 1, 2, 3 or 4")
    return values
