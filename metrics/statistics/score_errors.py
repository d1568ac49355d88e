"""Standard errors of a classifier's scores over examples, from its confusion matrix, also where none was missed."""

import math

import torch
from torch import Tensor

# Examples added to each present class at the overall accuracy, and to all of them together, half hits, half misses.
_CLASS_EXAMPLES = 1.0
_EXAMPLES = 4.0


def score_errors(counts: Tensor) -> dict[str, float]:
    """Return the standard error of every score of :func:`metrics.classification.scores_from_confusion`.

    The delta method on the multinomial distribution of the n examples over the cells: with I_ab the derivative of a
    score by the share of cell (a, b), √(Σ N_ab (I_ab − Ī)² / (n (n − 1))). For accuracy that is √(a(1 − a) / n), for
    balanced accuracy √(Σ_K r_k (1 − r_k) / t_k) / K (given the numbers t_k of the K classes' examples).

    N is not the matrix that was counted but a smoothed one: the shares of a few hits are uncertain themselves, and a
    score of 0 or 1 would have no error. Two hits and two misses are added, shared out by class (so that for accuracy it
    is Agresti and Coull's), and to every class one example more that hits as often as all examples do; misses go to all
    other classes alike; then every row gets its old sum.

    Args:
        counts: the confusion matrix, shape (C, C), rows true, float64, n ≥ 2 examples.

    Returns:
        Errors by name; NaN for a Matthews correlation that is not defined.

    References:
        Agresti & Coull 1998, Approximate is better than "exact" for interval estimation of binomial proportions;
        Bishop, Fienberg & Holland 1975, Discrete Multivariate Analysis, ch. 14 (the delta method).

    Examples:
        >>> import torch
        >>> round(score_errors(torch.tensor([[8.0, 2.0], [1.0, 9.0]], dtype=torch.float64))["accuracy"], 3)
        0.091
    """
    total = float(counts.sum())
    accuracy = _shrunk(float(counts.trace()), total)
    smooth = _smoothed(counts, accuracy)
    true = counts.sum(1)
    present = true > 0
    recall = smooth.diagonal()[present] / true[present]
    variances = recall * (1 - recall) / true[present]
    errors = {
        "accuracy": accuracy_error(float(counts.trace()), total),
        "balanced_accuracy": math.sqrt(float(variances.sum())) / len(recall),
    }
    for name, slopes in score_slopes(smooth).items():
        mean = float((smooth * slopes).sum()) / total
        errors[name] = math.sqrt(float((smooth * (slopes - mean).square()).sum()) / (total * (total - 1)))
    return errors


def accuracy_error(hits: float, total: float) -> float:
    """Return the standard error of the share of hits among ``total`` examples, see :func:`score_errors`."""
    accuracy = _shrunk(hits, total)
    return math.sqrt(accuracy * (1 - accuracy) / total)


def _shrunk(hits: float, total: float) -> float:
    return (hits + _EXAMPLES / 2) / (total + _EXAMPLES)


def _smoothed(counts: Tensor, accuracy: float) -> Tensor:
    classes = len(counts)
    hit = torch.eye(classes, dtype=counts.dtype)
    miss = (1 - hit) / max(classes - 1, 1)
    true = counts.sum(1, keepdim=True)
    shared = _EXAMPLES * true / true.sum()
    added = _CLASS_EXAMPLES * (accuracy * hit + (1 - accuracy) * miss) + shared * (hit + miss) / 2
    return true * (counts + added) / (true + _CLASS_EXAMPLES + shared)


def score_slopes(counts: Tensor) -> dict[str, Tensor]:
    """Return the derivatives of F1 scores and Matthews correlation by the cells' shares, each of shape (C, C).

    Examples:
        >>> import torch
        >>> score_slopes(torch.tensor([[8.0, 2.0], [1.0, 9.0]], dtype=torch.float64))["mcc"].shape
        torch.Size([2, 2])
    """
    total, true, predicted, hits = float(counts.sum()), counts.sum(1), counts.sum(0), counts.diagonal()
    hit = torch.eye(len(counts), dtype=counts.dtype)
    inverse = torch.where(true > 0, 1 / (true + predicted).clamp(min=1e-300), 0.0)
    f1 = 2 * hits * inverse

    def of_f1(weights: Tensor) -> Tensor:
        slope = weights * inverse
        return 2 * hit * slope - (f1 * slope)[:, None] - f1 * slope

    weighted = of_f1(true / total) + (f1[:, None] - f1 @ true / total) / total
    rest_predicted, rest_true = total**2 - predicted @ predicted, total**2 - true @ true
    scale = (rest_predicted * rest_true).sqrt()
    value = (total * hits.sum() - predicted @ true) / scale
    numerator = hits.sum() + total * hit - true - predicted[:, None]
    shrinkage = (total - predicted) / rest_predicted + ((total - true) / rest_true)[:, None]
    return {
        "macro_f1": total * of_f1((true > 0).to(counts.dtype) / (true > 0).sum()),
        "weighted_f1": total * weighted,
        "mcc": total * (numerator / scale - value * shrinkage),
    }
