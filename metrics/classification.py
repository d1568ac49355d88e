"""Scores of a classifier, all from one confusion matrix, each with its error and with what chance gives."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.statistics.score_errors import score_errors

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "mcc")


@dataclass(frozen=True, slots=True)
class Score:
    """One score of one confusion matrix.

    Attributes:
        value: the score; NaN where it is not defined.
        stderr: standard error over examples, None for a single example.
        chance: mean of the score when the predictions are randomly permuted over the examples (exact).
        chance_hi: upper 95 % point of that permutation distribution, by a normal approximation.
    """

    value: float
    stderr: float | None
    chance: float
    chance_hi: float


def confusion_matrix(labels: Array, predictions: Array, num_classes: int | None = None) -> Tensor:
    """Count how often each class was predicted for each true class.

    Args:
        labels: true classes, shape (n,), whole numbers in [0, num_classes); a NumPy array or a tensor.
        predictions: predicted classes, likewise.
        num_classes: the number C of classes; None for one more than the largest.

    Returns:
        Counts, shape (C, C), int64; rows are true classes, columns predictions. Matrices of disjoint examples
        add up.

    Raises:
        ValueError: if the lengths differ, a class is out of range or no whole number.
        TypeError: if one is neither a NumPy array nor a tensor.

    Examples:
        >>> import numpy as np
        >>> confusion_matrix(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
        [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    """
    labels, predictions = as_tensor(labels, "labels"), as_tensor(predictions, "predictions")
    for name, classes in (("labels", labels), ("predictions", predictions)):
        if classes.is_floating_point() or classes.is_complex():
            raise ValueError(
                f"{name} must be whole numbers, the classes, got {classes.dtype}; take argmax(1) of scores"
            )
    if num_classes is None:
        num_classes = max((int(classes.max()) + 1 for classes in (labels, predictions) if len(classes)), default=0)
    labels, predictions = labels.long(), predictions.long()
    if labels.shape != predictions.shape:
        shapes = f"{tuple(labels.shape)} and {tuple(predictions.shape)}"
        raise ValueError(f"labels and predictions must have equal shape, got {shapes}")
    for name, classes in (("labels", labels), ("predictions", predictions)):
        if len(classes) and (int(classes.min()) < 0 or int(classes.max()) >= num_classes):
            low, high = int(classes.min()), int(classes.max())
            raise ValueError(f"{name} must be in [0, {num_classes}), got values from {low} to {high}")
    cells = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def scores_from_confusion(matrix: Array) -> dict[str, Score]:
    """Return accuracy, balanced accuracy, macro and weighted F1 and MCC of one confusion matrix.

    With N the matrix, n its sum, t_k its row sums (true), p_k its column sums (predicted), K the classes
    present in the labels (t_k > 0):

    - accuracy = Σ_k N_kk / n;
    - balanced_accuracy = mean over K of the recall N_kk / t_k;
    - macro_f1 = mean over K of F1_k = 2 N_kk / (t_k + p_k);
    - weighted_f1 = Σ_k t_k F1_k / n;
    - mcc = (n Σ N_kk − Σ p_k t_k) / √((n² − Σ p_k²)(n² − Σ t_k²)).

    A class absent from the labels is left out of both means, also if it was predicted: that counts against
    the classes it was predicted for, but there is no recall to average (scikit-learn's ``labels=present``).
    MCC is NaN (0/0) if the labels or the predictions are all of one class; every score is NaN for an empty
    matrix.

    Args:
        matrix: counts, shape (C, C), rows true.

    Returns:
        Score by name, in the order of ``SCORES``, with the standard errors of
        :func:`metrics.statistics.score_errors.score_errors`.

    References:
        Brodersen et al. 2010, The balanced accuracy and its posterior distribution. Gorodkin 2004, Comparing
        two K-category assignments by a K-category correlation coefficient. Opitz & Burst 2019, Macro F1 and
        Macro F1, arXiv 1911.03347.

    Examples:
        >>> import numpy as np
        >>> accuracy = scores_from_confusion(np.array([[8, 2], [1, 9]]))["accuracy"]
        >>> round(accuracy.value, 3), round(accuracy.stderr, 3), round(accuracy.chance, 3)
        (0.85, 0.091, 0.5)
    """
    counts = as_tensor(matrix, "matrix").to("cpu", torch.float64)
    if not counts.any():
        return {name: Score(math.nan, None, math.nan, math.nan) for name in SCORES}
    true, predicted, hits = counts.sum(1), counts.sum(0), counts.diagonal()
    errors = score_errors(counts) if counts.sum() > 1 else {}
    mean, covariance = _diagonal_by_chance(true, predicted)
    scores = {}
    for name, (slope, constant) in _linear_forms(true, predicted).items():
        null = float(slope @ mean) + constant
        spread = math.sqrt(max(float(slope @ covariance @ slope), 0.0))
        value = float(slope @ hits) + constant
        scores[name] = Score(value, errors.get(name), null, min(null + 1.645 * spread, 1.0))
    return scores


def _linear_forms(true: Tensor, predicted: Tensor) -> dict[str, tuple[Tensor, float]]:
    """Return the slope (C,) and the constant that give each score from the diagonal, for given margins."""
    total, present = float(true.sum()), true > 0
    f1 = torch.where(present, 2 / (true + predicted).clamp(min=1), 0.0)
    scale = math.sqrt(total**2 - float(predicted @ predicted)) * math.sqrt(total**2 - float(true @ true))
    mcc_constant = -float(predicted @ true) / scale if scale else math.nan
    return {
        "accuracy": (torch.full_like(true, 1 / total), 0.0),
        "balanced_accuracy": (torch.where(present, 1 / true.clamp(min=1), 0.0) / present.sum(), 0.0),
        "macro_f1": (f1 / present.sum(), 0.0),
        "weighted_f1": (f1 * true / total, 0.0),
        "mcc": (torch.full_like(true, total / scale if scale else math.nan), mcc_constant),
    }


def _diagonal_by_chance(true: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (C,) and covariance (C, C) of the diagonal over permutations of the predictions.

    With both margins fixed the cells are hypergeometric, so the moments of anything linear in the diagonal,
    as all our scores are, are exact.
    """
    total = float(true.sum())
    product = true * predicted
    scale = total**2 * max(total - 1, 1.0)
    covariance = torch.outer(product, product) / scale
    covariance.diagonal().copy_(product * (total - true) * (total - predicted) / scale)
    return product / total, covariance
