"""Draws validation.png: what chance looks like to CKA, and how often intervals hold the truth. Takes a minute.

Run it as ``python docs/images/validation.py``.
"""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import t

import metrics
from metrics.compare.measures.cka import CKA
from metrics.geometry.participation_ratio import debiased_participation_ratio
from metrics.geometry.principal_coordinates import principal_coordinates

REPEATS = 300
SIZES = (20, 50, 100, 300, 1000)
VARIANCES = 1 / np.arange(1, 9)
# A repetition: of so many examples, a value, its standard error, and the truth.
Estimate = Callable[[int, np.random.Generator], tuple[float, float, float]]


def accuracy(n: int, generator: np.random.Generator) -> tuple[float, float, float]:
    """Return the accuracy of a classifier that is right in 80 % of all cases."""
    labels = generator.integers(2, size=n)
    found = metrics.scores_from_confusion(
        metrics.confusion_matrix(labels, np.where(generator.random(n) < 0.8, labels, 1 - labels), 2)
    )["accuracy"]
    return found.value, found.stderr or np.nan, 0.8


def dimension(n: int, generator: np.random.Generator) -> tuple[float, float, float]:
    """Return the participation ratio of a Gaussian, which is (Σ λ)² / Σ λ²."""
    x = torch.tensor(generator.normal(size=(n, len(VARIANCES))) * np.sqrt(VARIANCES))
    value, stderr = debiased_participation_ratio(principal_coordinates(x))
    return value, stderr or np.nan, VARIANCES.sum() ** 2 / (VARIANCES**2).sum()


def similarity(n: int, generator: np.random.Generator) -> tuple[float, float, float]:
    """Return the CKA of eight units with themselves beside eight of noise: 8 / (√8 √16) in the population."""
    x = generator.normal(size=(n, 8))
    y = np.concatenate([x, generator.normal(size=x.shape)], axis=1)
    found = next(one for one in metrics.compare_representations(x, y, CKA(), permutations=0) if one.metric == "cka")
    return float(found.value[0]), float(found.stderr[0]) if found.stderr is not None else np.nan, 1 / np.sqrt(2)


def independent(n: int, estimator: str, generator: np.random.Generator) -> float:
    """Return the CKA of two layers that have nothing in common."""
    return metrics.cka(generator.normal(size=(n, 64)), generator.normal(size=(n, 64)), estimator)


def coverage(estimate: Estimate, n: int) -> float:
    """Return how often value ± t(n − 1) · stderr holds the truth."""
    generator = np.random.default_rng(n)
    hits = []
    for _ in range(REPEATS):
        value, stderr, truth = estimate(n, generator)
        hits.append(abs(value - truth) <= t.ppf(0.975, n - 1) * stderr)
    return float(np.mean(hits))


def draw(path: Path) -> None:
    """Draw both panels."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    generator = np.random.default_rng(0)
    for estimator, colour in (("biased", "tab:orange"), ("debiased", "tab:blue")):
        values = [[independent(n, estimator, generator) for _ in range(30)] for n in SIZES]
        left.errorbar(SIZES, np.mean(values, axis=1), np.std(values, axis=1), label=estimator, color=colour, marker="o")
    left.axhline(0, color="grey", linestyle=":", label="truth")
    left.set(xscale="log", xlabel="examples", ylabel="CKA", title="Two independent layers of 64 units")
    left.legend()
    for name, estimate in (("accuracy", accuracy), ("participation ratio", dimension), ("CKA", similarity)):
        right.plot(SIZES, [coverage(estimate, n) for n in SIZES], marker="o", label=name)
    right.axhline(0.95, color="grey", linestyle=":", label="aim")
    right.set(xscale="log", xlabel="examples", ylim=(0.7, 1.0), title="Share of 95 % intervals that hold the truth")
    right.legend(loc="lower right")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(Path(__file__).with_suffix(".png"))
