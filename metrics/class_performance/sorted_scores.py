"""Average precisions and curves of scores that are all there: sorted by bin, which takes less than a histogram."""

import itertools

import numpy as np
import torch
from torch import Tensor

from metrics.class_performance.score_histograms import BINS, AveragePrecision, bins_of


def areas_and_precisions(
    recall: np.ndarray, scores: Tensor, positive: Tensor
) -> list[tuple[AveragePrecision, np.ndarray]]:
    """Return what :func:`metrics.class_performance.score_histograms.area_and_precision` gives of each class, no ends.

    Equal to the last bit: the same counts of the same bins, added in the same order.

    Args:
        recall: where precisions are wanted, 1 at most.
        scores: shape (n, C), higher for what is more likely of the class; no NaN; n ≥ 1.
        positive: whether an example is of the class, bool, shape (n, C).

    Examples:
        >>> scores, is_one = torch.tensor([[3.0], [2.0], [1.0]]), torch.tensor([[True], [False], [True]])
        >>> [(area, precision)] = areas_and_precisions(np.array([0.0, 0.6]), scores, is_one)
        >>> round(area.value, 4), precision.round(2).tolist()
        (0.8333, [1.0, 0.67])
    """
    p, n, true, false, ends = _thresholds(scores, positive)
    tp, fp = true - p, false - n
    terms, precision = p * (tp + p) / (tp + fp + n + p), true / (true + false)
    wanted, found = recall - 1e-12, []
    for start, end in itertools.pairwise(ends):
        if start == end:
            found.append((AveragePrecision(np.nan, np.nan, np.nan), np.full(len(recall), np.nan)))
            continue
        total = true[end - 1]
        # The last recall is 1, so there is a place for all that are wanted.
        places = (true[start:end] / total).searchsorted(wanted)
        value = float(np.add.reduce(terms[start:end]) / total)
        found.append((AveragePrecision(value, np.nan, np.nan), precision[start:end][places]))
    return found


def _thresholds(scores: Tensor, positive: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Return positives and negatives of each bin with positives, how many are that high, and where classes end.

    Bins are those of the first class, highest first, then those of the next one.
    """
    examples, classes = scores.shape
    first = torch.arange(1, classes + 1, device=scores.device) * BINS - 1
    # By class, then the highest bin first; the last bit says whether it is a positive.
    keys = ((first - bins_of(scores)) * 2 + positive).reshape(-1).cpu().numpy()
    if classes * BINS < 2**30:
        keys = keys.astype(np.int32)  # sorted in a third of the time
    keys.sort()
    bins, is_positive = keys >> 1, keys & 1
    is_last = np.empty(len(bins), bool)
    np.not_equal(bins[1:], bins[:-1], out=is_last[:-1])
    is_last[-1] = True
    last = np.flatnonzero(is_last)
    reached = np.cumsum(is_positive)[last]
    positives, whole = np.diff(reached, prepend=0), np.diff(last, prepend=-1)
    there = np.flatnonzero(positives)
    last, positives = last[there], positives[there]
    owner = bins[last] // BINS
    # Of all classes together: what the classes before have is taken off.
    before = np.append(0, np.cumsum(np.bincount(owner, positives, classes)))
    p, true = positives.astype(np.float64), reached[there] - before[owner]
    n, false = whole[there] - p, last + 1 - examples * owner - true
    return p, n, true, false, np.searchsorted(owner, np.arange(classes + 1)).tolist()
