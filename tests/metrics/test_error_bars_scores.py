"""Scores drawn again and again: how often value ± t(n − 1) · stderr covers the truth, and chance passes its band."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from metrics.classification import SCORES, confusion_matrix, scores_from_confusion


def cells(classes: int, accuracy: float, rng: np.random.Generator) -> np.ndarray:
    """Return probabilities of (true, predicted): classes of unequal size, misses to all others alike."""
    off = (1 - accuracy) / (classes - 1)
    conditional = np.full((classes, classes), off) + np.eye(classes) * (accuracy - off)
    return np.asarray(conditional * (0.5 / classes + 0.5 * rng.dirichlet(np.full(classes, 3.0)))[:, None])


def coverage(n: int, chances: np.ndarray, repeats: int, rng: np.random.Generator) -> dict[str, float]:
    truth = scores_from_confusion(torch.tensor((chances * 1e8).astype(int)))
    covered: dict[str, list[bool]] = defaultdict(list)
    for _ in range(repeats):
        matrix = rng.multinomial(n, chances.ravel() / chances.sum()).reshape(chances.shape)
        for name, score in scores_from_confusion(torch.tensor(matrix)).items():
            if np.isfinite(score.value):
                assert score.stderr is not None
                width = student.ppf(0.975, n - 1) * score.stderr
                covered[name].append(abs(score.value - truth[name].value) <= width)
    return {name: float(np.mean(hits)) for name, hits in covered.items()}


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4, 10])
@pytest.mark.parametrize(("n", "accuracy"), [(50, 0.6), (200, 0.3), (200, 0.9), (1000, 0.98)])
def test_intervals_cover_scores(classes: int, n: int, accuracy: float) -> None:
    rng = np.random.default_rng(classes * n)
    for name, share in coverage(n, cells(classes, accuracy, rng), 250, rng).items():
        # F1 of ten classes of five examples each is biased.
        assert (0.85 if (classes, n, name) == (10, 50, "macro_f1") else 0.90) <= share <= 0.985, name


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "n", "accuracy"), [(2, 20, 0.98), (4, 50, 0.98), (10, 20, 0.9), (2, 10, 0.02)])
def test_intervals_of_scores_near_the_ends_are_wide_enough(classes: int, n: int, accuracy: float) -> None:
    rng = np.random.default_rng(n)
    assert min(coverage(n, cells(classes, accuracy, rng), 150, rng).values()) >= 0.90


def test_a_perfect_score_has_an_error_and_accuracys_is_agresti_and_coulls() -> None:
    for n in (2, 10, 1000):
        scores = scores_from_confusion(torch.diag(torch.tensor([n // 2, n - n // 2, 0])))
        assert scores["accuracy"].stderr == pytest.approx(np.sqrt((n + 2) * 2 / (n + 4) ** 2 / n))
        assert all((scores[name].stderr or 0) > 0 for name in SCORES)
        # The rule of three: with no miss among n, up to 3 / n are plausible.
        assert n < 10 or 1.9 < n * 1.96 * (scores["accuracy"].stderr or 0) < 3.2


def test_few_examples_of_a_class_leave_balanced_accuracy_its_error() -> None:
    scores = scores_from_confusion(torch.tensor([[1, 0, 0], [2, 30, 4], [0, 0, 0]]))
    assert 0.1 < (scores["balanced_accuracy"].stderr or 0) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.4, 0.8])
def test_errors_are_those_of_the_bootstrap(accuracy: float) -> None:
    rng = np.random.default_rng(5)
    matrix = rng.multinomial(2000, cells(5, accuracy, rng).ravel()).reshape(5, 5)
    scores = scores_from_confusion(torch.tensor(matrix))
    again = rng.multinomial(2000, matrix.ravel() / 2000, size=500).reshape(-1, 5, 5)
    values = [scores_from_confusion(torch.tensor(one)) for one in again]
    for name in SCORES:
        spread = np.std([one[name].value for one in values])
        assert scores[name].stderr == pytest.approx(spread, rel=0.12), name


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "n", "most"), [(2, 50, 0.07), (4, 200, 0.07), (10, 200, 0.07), (4, 20, 0.09)])
def test_chance_passes_its_band_in_one_of_twenty(classes: int, n: int, most: float) -> None:
    """The band is a normal approximation: in small samples of rare classes up to nine of a hundred pass."""
    rng = np.random.default_rng(classes + n)
    passed: dict[str, list[bool]] = defaultdict(list)
    for _ in range(40):
        labels, predictions = (
            torch.tensor(rng.choice(classes, n, p=rng.dirichlet(np.full(classes, 2.0)))) for _ in range(2)
        )
        for _ in range(30):
            shuffled = predictions[torch.tensor(rng.permutation(n))]
            for name, score in scores_from_confusion(confusion_matrix(labels, shuffled, classes)).items():
                if np.isfinite(score.value):
                    passed[name].append(score.value > score.chance_hi)
    for name, hits in passed.items():
        assert 0.03 <= np.mean(hits) <= most, name


@pytest.mark.parametrize(("n", "least"), [(20, 0.88), (200, 0.92)])
def test_the_mean_loss_is_covered_though_losses_are_skewed(n: int, least: float) -> None:
    """Cross entropy of two classes, log(1 + exp(−margin)), with margins N(2, 2²): standard deviation / √n."""
    rng = np.random.default_rng(n)
    losses = np.logaddexp(0, -rng.normal(2, 2, (4000, n)))
    truth = np.logaddexp(0, -rng.normal(2, 2, 2_000_000)).mean()
    width = student.ppf(0.975, n - 1) * losses.std(1, ddof=1) / np.sqrt(n)
    assert least <= np.mean(np.abs(losses.mean(1) - truth) <= width) <= 0.98
