"""How far two predictors disagree on each record."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.readouts.jensen_shannon import jensen_shannon

# By how much probabilities may miss a sum of 1: half precision does by less.
_SUM = 1e-2


@dataclass(frozen=True)
class RecordDisagreement:
    """Disagreement of two predictors p and q on n records.

    Attributes:
        hard: whether they predict different classes, shape (n,), bool. Of equally likely classes the first counts.
        divergence: Jensen-Shannon divergence of p and q in nats, shape (n,), float64, 0 … ln 2.
        confidence: max p − max q, shape (n,), float64, −1 … 1: positive where the first is surer of its own class.
    """

    hard: Tensor
    divergence: Tensor
    confidence: Tensor


def record_disagreement(first: Array, second: Array) -> RecordDisagreement:
    """Return how far two predictors disagree on the same records.

    Args:
        first: p, class probabilities, shape (n, C).
        second: q, of the same records and classes, shape (n, C).

    Raises:
        ValueError: they are no probabilities (``softmax`` makes some of logits), or not of the same records.

    References:
        Lin 1991, Divergence Measures Based on the Shannon Entropy, IEEE Transactions on Information Theory 37; Wang et
        al. 2022, HetVis, arXiv 2208.07491 (different classes).

    Examples:
        >>> import numpy as np
        >>> p, q = np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.8, 0.2], [0.3, 0.7]])
        >>> found = record_disagreement(p, q)
        >>> found.hard.tolist(), found.divergence.round(decimals=3).tolist()
        ([False, True], [0.01, 0.046])
    """
    p, q = probabilities(first, "first"), probabilities(second, "second")
    if p.shape != q.shape:
        raise ValueError(f"second must have shape {tuple(p.shape)} as first, got {tuple(q.shape)}")
    q = q.to(p.device)
    return RecordDisagreement(p.argmax(1) != q.argmax(1), jensen_shannon(p, q), p.amax(1) - q.amax(1))


def probabilities(values: Array, name: str) -> Tensor:
    """Return class probabilities in float64 once they are known to be some.

    Args:
        values: shape (n, C).
        name: of the argument, for the message.

    Raises:
        ValueError: they are no probabilities.

    Examples:
        >>> import numpy as np
        >>> probabilities(np.array([[0.25, 0.75]]), "first").tolist()
        [[0.25, 0.75]]
    """
    found = as_tensor(values, name).double()
    if found.ndim != 2 or not found.shape[1]:
        raise ValueError(f"{name} must have shape (records, classes), got {tuple(found.shape)}")
    wrong = ~((found >= 0).all(1) & ((found.sum(1) - 1).abs() <= _SUM))
    if bool(wrong.any()):
        raise ValueError(
            f"{name} must hold probabilities that sum to 1 for each record (softmax makes them of logits), "
            f"got others in {int(wrong.sum())} of {len(found)} records"
        )
    return found


@dataclass(frozen=True)
class DisagreementOverRounds:
    """How steady a disagreement is over T rounds, each attribute of shape (n,).

    Attributes:
        share: of the rounds in which the predictors disagree, float64.
        changes: how often disagreement began or ended, 0 … T − 1, int64.
        lasting: the number of rounds at the end, without a break, in which they disagree, 0 … T, int64.
    """

    share: Tensor
    changes: Tensor
    lasting: Tensor


def disagreement_over_rounds(hard: Array) -> DisagreementOverRounds:
    """Return how steady the disagreement on each record is.

    Args:
        hard: whether two predictors disagree, a round a row, in order, shape (T, n), T ≥ 1.

    Raises:
        ValueError: it has no rounds, or values that are neither true nor false.

    Examples:
        >>> import numpy as np
        >>> found = disagreement_over_rounds(np.array([[True, True], [False, True], [True, True]]))
        >>> found.changes.tolist(), found.lasting.tolist(), found.share.round(decimals=2).tolist()
        ([2, 0], [1, 3], [0.67, 1.0])
    """
    given = as_tensor(hard, "hard")
    if given.ndim != 2 or not len(given):
        raise ValueError(f"hard must have shape (rounds, records) with 1 round or more, got {tuple(given.shape)}")
    if not bool(((given == 0) | (given == 1)).all()):
        raise ValueError("hard must be true or false in each round: leave out rounds in which a predictor is missing")
    values = given.bool()
    lasting = values.flip(0).long().cumprod(0).sum(0)
    return DisagreementOverRounds(values.double().mean(0), (values[1:] != values[:-1]).sum(0), lasting)


def softmax(logits: Array) -> Tensor:
    """Return the class probabilities of logits in float64, shape (n, C).

    Args:
        logits: shape (n, C).

    Examples:
        >>> import numpy as np
        >>> softmax(np.array([[0.0, 0.0]])).tolist()
        [[0.5, 0.5]]
    """
    return torch.softmax(as_tensor(logits, "logits").double(), 1)
