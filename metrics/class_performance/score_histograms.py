"""What average precision and the curve need of a stream of scores, in bounded memory: histograms of log-odds.

Scores z are counted in bins of arsinh(z), which are 0.005 wide near z = 0 and 0.5 % of z where it is large, for
positives and negatives of each class. Where positives and negatives of a class share a bin, their order is not known:
the average precision then lies between two ends that the histogram gives, see :func:`average_precision`.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BINS = 4096
# arsinh(10,000): what is beyond is in the first and in the last bin.
_END = float(np.arcsinh(1e4))
# Examples at a time: their scores are copied in float64.
_CHUNK_NUMBERS = 4_000_000

# Positives and negatives of the bins with positives, highest first, and how many of each are that high.
_Thresholds = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def log_odds(logits: Tensor) -> Tensor:
    """Return log p_c / (1 − p_c) of each class, p the softmax of ``logits`` (n, C), without cancellation near 1.

    Examples:
        >>> log_odds(torch.tensor([[60.0, 0.0]])).tolist()
        [[60.0, -60.0]]
    """
    logits = logits.to(torch.float64)
    log_p = logits.log_softmax(1)
    odds = log_p - torch.log1p(-log_p.exp())
    # Of the largest output 1 − p may be rounded to 0: it is the sum over the others.
    best = logits.argmax(1, keepdim=True) if len(logits) else logits.new_zeros((0, 1), dtype=torch.long)
    others = logits.scatter(1, best, -torch.inf).logsumexp(1, keepdim=True)
    return odds.scatter(1, best, logits.gather(1, best) - others)


def count_scores(scores: Tensor, positive: Tensor, counted: Tensor) -> Tensor:
    """Return how many negatives and positives of each class are in each bin, shape (C, 2, BINS), int32.

    Args:
        scores: shape (n, C), higher for what is more likely of the class; infinities allowed, no NaN.
        positive: whether an example is of the class, bool, shape (n, C).
        counted: whether it counts for the class, bool, shape (n, C).

    Examples:
        >>> is_one = torch.tensor([[True], [False], [False]])
        >>> found = count_scores(torch.tensor([[2.0], [-1.0], [-1.0]]), is_one, torch.ones_like(is_one))
        >>> found.shape, found.sum(2).tolist()
        (torch.Size([1, 2, 4096]), [[2, 1]])
    """
    classes = scores.shape[1]
    total: Tensor | None = None
    rows = max(1, _CHUNK_NUMBERS // max(classes, 1))
    first = torch.arange(classes, device=scores.device) * 2
    for start in range(0, len(scores), rows):
        part = slice(start, start + rows)
        cells = (first + positive[part]) * BINS + bins_of(scores[part])
        own = counted[part]
        # Nearly always all count, and to pick them takes longer than to count them.
        chosen = cells.reshape(-1) if bool(own.all()) else cells[own]
        found = torch.bincount(chosen, minlength=classes * 2 * BINS).to(torch.int32)
        total = found if total is None else total + found
    if total is None:
        total = torch.zeros(classes * 2 * BINS, dtype=torch.int32, device=scores.device)
    return total.reshape(classes, 2, BINS)


def bins_of(scores: Tensor) -> Tensor:
    """Return the bin of each score, 0 to BINS − 1, int64.

    Examples:
        >>> bins_of(torch.tensor([-torch.inf, 0.0, torch.inf])).tolist()
        [0, 2048, 4095]
    """
    place = torch.asinh(scores.to(torch.float64)).clamp_(-_END, _END)
    return place.add_(_END).mul_(BINS / (2 * _END)).long().clamp_(max=BINS - 1)


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """An average precision, and the ends between which that of the scores themselves lies.

    Attributes:
        value: with the scores of a bin taken for equal; NaN if there are no positives.
        low, high: ends for any order of the scores within bins.
    """

    value: float
    low: float
    high: float


def average_precision(histogram: np.ndarray) -> AveragePrecision:
    """Return Σ_k (R_k − R_{k−1}) P_k over thresholds, of one class's histogram, shape (2, BINS).

    With TP and FP the counts above a bin, p and n its positives and negatives: whatever their order, its positives
    contribute at least Σ_{j=1..p} (TP + j) / (TP + FP + n + j) and at most p (TP + p) / (TP + FP + p).

    References:
        scikit-learn, ``average_precision_score``.

    Examples:
        >>> average_precision(np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))
        AveragePrecision(value=0.8333333333333333, low=0.8333333333333333, high=0.8333333333333333)
        >>> average_precision(np.array([[3], [1]]))
        AveragePrecision(value=0.25, low=0.25, high=1.0)
    """
    return _area(_thresholds(histogram), with_ends=True)


def area_and_precision(
    recall: np.ndarray, histogram: np.ndarray, with_ends: bool = True
) -> tuple[AveragePrecision, np.ndarray]:
    """Return the average precision, and the precision at the highest threshold that reaches each recall.

    Without positives all is NaN.

    Args:
        recall: where precisions are wanted.
        histogram: of one class's scores, shape (2, BINS).
        with_ends: whether the ends of the average precision are wanted, which take most of the time; else NaN.

    Examples:
        >>> area, precision = area_and_precision(np.array([0.0, 0.6]), np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))
        >>> round(area.value, 4), precision.round(2).tolist()
        (0.8333, [1.0, 0.67])
    """
    found = _thresholds(histogram)
    return _area(found, with_ends), _precision_at(recall, found)


def _area(found: _Thresholds, with_ends: bool) -> AveragePrecision:
    p, n, true, false = found
    if not len(p):
        return AveragePrecision(np.nan, np.nan, np.nan)
    total, tp, fp = true[-1], true - p, false - n
    value = float((p * (tp + p) / (tp + fp + n + p)).sum() / total)
    if not with_ends:
        return AveragePrecision(value, np.nan, np.nan)
    high = float((p * (tp + p) / (tp + fp + p)).sum() / total)
    # TP + j counts all positives, bin after bin; each bin is summed by itself, so that long sums lose nothing.
    reached, ends = np.arange(1.0, total + 1), true.astype(np.int64).tolist()
    terms = reached / (reached + np.repeat(fp + n, p.astype(np.int64)))
    low = sum(float(np.add.reduce(terms[start:end])) for start, end in itertools.pairwise([0, *ends]))
    return AveragePrecision(value, float(low / total), high)


def _thresholds(histogram: np.ndarray) -> _Thresholds:
    """Return positives and negatives of the bins with positives, highest first, and how many of each are that high."""
    # Found among truth values in half the time that it takes among numbers.
    occupied = np.flatnonzero((histogram[0] + histogram[1]) != 0)[::-1]
    negatives, positives = (counts[occupied].astype(np.float64) for counts in histogram)
    true, false = np.cumsum(positives), np.cumsum(negatives)
    there = positives > 0
    return positives[there], negatives[there], true[there], false[there]


def curve(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return recall and precision at every threshold that a positive reaches, recall rising; of none, empty.

    Examples:
        >>> [side.tolist() for side in curve(np.array([[1, 0, 1, 0], [0, 1, 0, 1]]))]
        [[0.5, 1.0], [1.0, 0.6666666666666666]]
    """
    return _curve(_thresholds(histogram))


def _curve(found: _Thresholds) -> tuple[np.ndarray, np.ndarray]:
    _, _, true, false = found
    return true / max(true[-1:].sum(), 1.0), true / (true + false)


def _precision_at(recall: np.ndarray, found: _Thresholds) -> np.ndarray:
    reached, precision = _curve(found)
    if not len(reached):
        return np.full(len(recall), np.nan)
    places = np.searchsorted(reached, np.asarray(recall) - 1e-12)
    return np.asarray(precision[np.minimum(places, len(precision) - 1)])
