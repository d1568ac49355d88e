"""Scores of label sets against scikit-learn, their errors against the bootstrap, chance levels against shuffles."""

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from metrics.predictions.label_sets import SET_SCORES, label_set_scores


def drawn(n: int = 60, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    labels = (random.random((n, 4)) < [0.5, 0.3, 0.2, 0.6]).astype(np.int64)
    outputs = random.standard_normal((n, 4)) + labels
    return labels, outputs.round(0 if ties else 9)


@pytest.mark.parametrize("ties", [False, True])
def test_scores_are_those_of_scikit_learn(ties: bool) -> None:
    labels, outputs = drawn(ties=ties)
    found, said = label_set_scores(labels, outputs), outputs > 0
    expected = {
        "subset_accuracy": oracle.accuracy_score(labels, said),
        "hamming_loss": oracle.hamming_loss(labels, said),
        "micro_f1": oracle.f1_score(labels, said, average="micro"),
        "macro_f1": oracle.f1_score(labels, said, average="macro"),
        "average_precision": oracle.average_precision_score(labels, outputs, average="macro"),
    }
    assert tuple(found) == SET_SCORES
    assert {name: score.value for name, score in found.items()} == pytest.approx(expected)


def test_errors_are_those_of_the_bootstrap_and_chance_that_of_shuffles() -> None:
    labels, outputs = drawn(200)
    random = np.random.default_rng(0)
    again, shuffled = (
        [
            {name: score.value for name, score in label_set_scores(labels[own], outputs[other]).items()}
            for own, other in draws
        ]
        for draws in (
            [(rows, rows) for rows in random.integers(200, size=(150, 200))],
            [(np.arange(200), random.permutation(200)) for _ in range(150)],
        )
    )
    for name, score in label_set_scores(labels, outputs).items():
        spread = np.std([values[name] for values in again])
        assert score.stderr == pytest.approx(spread, rel=0.2), name
        null = [values[name] for values in shuffled]
        assert score.chance == pytest.approx(np.mean(null), abs=4 * np.std(null) / np.sqrt(150)), name


def test_a_label_that_never_holds_is_left_out_and_nothing_is_missing() -> None:
    labels, outputs = drawn()
    labels[:, 2] = 0
    three = [0, 1, 3]
    found, expected = label_set_scores(labels, outputs), label_set_scores(labels[:, three], outputs[:, three])
    assert found["macro_f1"] == expected["macro_f1"]
    assert found["average_precision"] == expected["average_precision"]
    none = label_set_scores(np.zeros((5, 2), np.int64), -np.ones((5, 2)))
    assert all(np.isnan(none[name].value) for name in ("micro_f1", "macro_f1", "average_precision"))
    assert none["subset_accuracy"].value == 1.0 and none["hamming_loss"].value == 0.0


def test_a_spread_of_zero_is_no_error() -> None:
    perfect = label_set_scores(torch.eye(3), torch.eye(3) - 0.5)
    assert perfect["micro_f1"].value == 1.0 and perfect["micro_f1"].stderr is None
    assert perfect["subset_accuracy"].stderr is not None
    assert all(score.stderr is None for score in label_set_scores(torch.ones(1, 2), torch.ones(1, 2)).values())
