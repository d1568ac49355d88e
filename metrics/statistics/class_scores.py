"""How well each class is recognised: precision, recall and F1, and their means, from one confusion matrix."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How well one class, or the mean of some, is recognised.

    Attributes:
        precision: share of the examples predicted as this class that are of it; NaN if none was predicted.
        recall: share of this class's examples that were predicted as it; NaN if there are none.
        f1: harmonic mean of both; NaN if the class was neither there nor predicted.
        support: the number of its examples.
    """

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class ClassReport:
    """The scores of every class, and what they come to.

    Attributes:
        classes: name -> scores, in the order of the labels.
        accuracy: share of all examples that were predicted right; NaN of none.
        macro: the mean over classes, of those that have the score.
        weighted: the mean over examples: over classes, weighted by support, of those that have the score.
    """

    classes: dict[str, ClassScores]
    accuracy: float
    macro: ClassScores
    weighted: ClassScores


def class_report(matrix: Array, classes: Sequence[str] | None = None) -> ClassReport:
    """Return precision, recall and F1 of every class, and their means, from one confusion matrix.

    With N the matrix, t_k its row sums (true) and p_k its column sums (predicted): precision N_kk / p_k, recall
    N_kk / t_k, F1 2 N_kk / (t_k + p_k). What would be 0/0 is NaN, and left out of the means (scikit-learn's
    ``zero_division=nan``): a class that nobody has says nothing about its recall.

    Args:
        matrix: counts, shape (C, C), rows true.
        classes: C names, all different, in the order of the labels; None for the numbers.

    Raises:
        ValueError: if the matrix is not square, or there are not as many different names.

    References:
        Sokolova & Lapalme 2009, A systematic analysis of performance measures for classification tasks.

    Examples:
        >>> import numpy as np
        >>> report = class_report(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
        >>> report.classes["cat"]
        ClassScores(precision=1.0, recall=0.75, f1=0.8571428571428571, support=4)
        >>> report.accuracy
        0.875
    """
    counts = as_tensor(matrix, "matrix").to("cpu", torch.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"matrix must be square, a row and a column for each class, got {tuple(counts.shape)}")
    names = list(map(str, range(len(counts)) if classes is None else classes))
    if len({*names}) != len(counts) or len(names) != len(counts):
        raise ValueError(f"classes must be {len(counts)} different names, one for each row, got {names}")
    true, predicted, hits = counts.sum(1), counts.sum(0), counts.diagonal()
    scores = torch.stack([hits / predicted, hits / true, 2 * hits / (true + predicted)])
    total = int(true.sum())
    return ClassReport(
        classes={name: _scores(scores[:, k], int(true[k])) for k, name in enumerate(names)},
        accuracy=float(hits.sum()) / total if total else math.nan,
        macro=_scores(scores.nanmean(1), total),
        weighted=_scores(_weighted(scores, true), total),
    )


def _weighted(scores: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of each row's values, without those that are NaN."""
    there = scores.isfinite() * weights
    return (scores.nan_to_num() * there).sum(1) / there.sum(1)


def _scores(values: Tensor, support: int) -> ClassScores:
    precision, recall, f1 = values.tolist()
    return ClassScores(precision, recall, f1, support)
