"""What a test of a model found, as files that any program reads: JSON without NaN, and counts as an array."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedlayers.core.machine.disk import make_folder, whole_file, write_text
from fedlayers.opening.assessment import Assessment
from metrics.statistics.class_scores import ClassScores

TEST_RESULTS, CONFUSION, CLASS_REPORT = "test_results.json", "confusion.npy", "class_report.json"


def save_tests(found: Assessment, folder: Path, more: Mapping[str, Any]) -> list[Path]:
    """Write ``test_results.json``, ``confusion.npy`` and ``class_report.json`` into a folder, and return them.

    Args:
        found: what a model says about some examples.
        folder: made if it is not there.
        more: what else the results say.
    """
    make_folder(folder)
    write_text(folder / TEST_RESULTS, as_json({**results(found), **more}))
    with whole_file(folder / CONFUSION) as file:
        np.save(file, found.confusion)
    write_text(folder / CLASS_REPORT, as_json(report(found)))
    return [folder / name for name in (TEST_RESULTS, CONFUSION, CLASS_REPORT)]


def results(found: Assessment) -> dict[str, Any]:
    """Return the accuracy as ``acc``; of a model each of whose layers answers ``acc_last`` and ``acc_layers``."""
    own = [*found.stages.values()]
    accuracies = {"acc_last": own[-1], "acc_layers": own} if own else {"acc": found.accuracy}
    return {**accuracies, "examples": found.examples}


def report(found: Assessment) -> dict[str, Any]:
    """Return precision, recall, F1 and support of every class, laid out as scikit-learn does."""
    scores = found.report
    return {
        **{name: _scores(own) for name, own in scores.classes.items()},
        "accuracy": scores.accuracy,
        "macro avg": _scores(scores.macro),
        "weighted avg": _scores(scores.weighted),
    }


def as_json(content: Any) -> str:
    """Return JSON in which a number that is none is ``null``: bare NaN is no JSON."""
    return json.dumps(without_nan(content), indent=2, allow_nan=False) + "\n"


def without_nan(content: Any) -> Any:
    """Return the same with None for each number that is NaN or infinite."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _scores(own: ClassScores) -> dict[str, Any]:
    return {"precision": own.precision, "recall": own.recall, "f1-score": own.f1, "support": own.support}
