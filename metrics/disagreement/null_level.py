"""How much more two predictors disagree than two that differ by their seed only."""

import math
from dataclasses import dataclass

import torch
from scipy.special import stdtr
from torch import Tensor

from metrics.array_arguments import Array, as_tensor


@dataclass(frozen=True)
class ExcessDisagreement:
    """Mean disagreement and its null level, of the same n records.

    Attributes:
        value: mean of the disagreement of the two predictors in question.
        null: mean of that of two predictors that differ by their seed only.
        excess: value − null.
        stderr: its standard error over records; NaN of fewer than two.
        p: of "the two disagree no more than two seeds do", one-sided.
        n: the number of records.
    """

    value: float
    null: float
    excess: float
    stderr: float
    p: float
    n: int


def excess_disagreement(observed: Array, null: Array) -> ExcessDisagreement:
    """Return how much a disagreement exceeds its null level, paired by records.

    Hard disagreement (0 or 1) is tested exactly: among the records on which just one pair disagrees, either is as
    likely (McNemar). Graded disagreement by a paired t test.

    Args:
        observed: of the stand-alone and the global model, say, on each record, shape (n,), n ≥ 1.
        null: of the stand-alone model and a second one from another seed, on the same records, shape (n,).

    Raises:
        ValueError: they are not of the same records, or of none.

    References:
        McNemar 1947, Note on the sampling error of the difference between correlated proportions, Psychometrika 12.

    Examples:
        >>> import numpy as np
        >>> found = excess_disagreement(np.array([1, 1, 1, 1, 1, 0]), np.array([0, 0, 0, 0, 0, 0]))
        >>> round(found.value, 2), found.null, round(found.p, 3)
        (0.83, 0.0, 0.031)
    """
    first, second = as_tensor(observed, "observed").double().cpu(), as_tensor(null, "null").double().cpu()
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(
            f"observed and null must have a value for each of the same records, got {tuple(first.shape)} and "
            f"{tuple(second.shape)}"
        )
    difference, n = first - second, len(first)
    excess = float(difference.mean())
    stderr = float(difference.std()) / math.sqrt(n) if n > 1 else math.nan
    is_hard = bool(((first == 0) | (first == 1)).all() and ((second == 0) | (second == 1)).all())
    p = _mcnemar(difference) if is_hard else _paired(excess, stderr, n)
    return ExcessDisagreement(float(first.mean()), float(second.mean()), excess, stderr, p, n)


def _mcnemar(difference: Tensor) -> float:
    more, less = int((difference > 0).sum()), int((difference < 0).sum())
    if not more:
        return 1.0
    # Here, because it takes half a second to import, which every run would spend.
    from scipy.stats import binom

    return float(binom.sf(more - 1, more + less, 0.5))


def _paired(excess: float, stderr: float, n: int) -> float:
    if not stderr > 0:
        return math.nan if n < 2 else float(torch.heaviside(torch.tensor(-excess), torch.tensor(1.0)))
    return float(stdtr(n - 1, -excess / stderr))
