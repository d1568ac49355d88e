"""The class report is scikit-learn's, and says what cannot be said."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from sklearn.metrics import classification_report

from metrics.classification import confusion_matrix
from metrics.statistics.class_scores import ClassReport, class_report


def from_scikit_learn(labels: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, dict[str, float]]:
    found = classification_report(
        labels, predictions, labels=list(range(classes)), output_dict=True, zero_division=np.nan
    )
    # With labels given it says "micro avg" for accuracy where one of them is absent.
    return {name: scores for name, scores in found.items() if name not in ("accuracy", "micro avg")}


def ours(report: ClassReport) -> dict[str, dict[str, float]]:
    rows = {**report.classes, "macro avg": report.macro, "weighted avg": report.weighted}
    keys = ("precision", "recall", "f1-score", "support")
    return {name: dict(zip(keys, astuple(scores), strict=True)) for name, scores in rows.items()}


@pytest.mark.parametrize(
    ("classes", "true", "predicted"),
    [(2, 2, 2), (3, 3, 3), (10, 10, 10), (10, 7, 10), (10, 10, 4), (6, 3, 2), (2, 1, 2), (2, 2, 1)],
)
def test_it_is_scikit_learns(classes: int, true: int, predicted: int) -> None:
    generator = np.random.default_rng(classes * 100 + true * 10 + predicted)
    labels, predictions = generator.integers(0, true, 200), generator.integers(0, predicted, 200)
    report = class_report(confusion_matrix(labels, predictions, classes))
    expected = from_scikit_learn(labels, predictions, classes)
    assert ours(report).keys() == expected.keys()
    for name, scores in ours(report).items():
        assert scores == pytest.approx(expected[name], nan_ok=True, rel=1e-12), name
    assert report.accuracy == pytest.approx(np.mean(labels == predictions))


def test_what_nobody_has_or_predicts_has_no_score() -> None:
    scores = class_report(np.array([[2, 1, 0], [0, 0, 0], [1, 0, 0]]), ["there", "predicted", "missed"]).classes
    assert scores["predicted"].precision == 0 and math.isnan(scores["predicted"].recall)
    assert math.isnan(scores["missed"].precision) and scores["missed"].recall == 0


def test_no_examples_have_no_scores() -> None:
    report = class_report(np.zeros((2, 2), int))
    assert math.isnan(report.accuracy) and math.isnan(report.macro.f1) and math.isnan(report.weighted.recall)


def test_perfect_predictions_score_one() -> None:
    report = class_report(np.diag([3, 5, 1]))
    assert astuple(report.macro) == astuple(report.weighted) == (1.0, 1.0, 1.0, 9)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"matrix must be square, a row and a column for each class, got \(2, 3\)"):
        class_report(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match=r"classes must be 2 different names, one for each row, got \['a', 'a'\]"):
        class_report(np.eye(2, dtype=int), ["a", "a"])
