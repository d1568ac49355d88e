"""The scores of every class and tier of one epoch, from counts."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np

from metrics.class_performance.score_histograms import AveragePrecision, area_and_precision
from metrics.class_performance.tiers import TIERS, UNKNOWN

SCORES = ("f1", "precision", "recall", "ap")
_scores_of = attrgetter(*SCORES)
# Of curves in tables and figures.
RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class ClassResult:
    """How one class was recognised; NaN where it is 0/0, and everywhere if it had no example.

    Attributes:
        true_positives, false_positives, false_negatives: counts.
        precision: share of what was taken for the class that is of it.
        recall: share of its examples that were taken for it.
        f1: harmonic mean of both.
        ap: average precision, see :func:`metrics.class_performance.score_histograms.average_precision`.
        ap_low, ap_high: the ends between which that of the scores themselves lies.
        curve: precision at the recalls 0, 0.01, … 1.
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    precision: float
    recall: float
    f1: float
    ap: float
    ap_low: float
    ap_high: float
    curve: np.ndarray

    @property
    def support(self) -> int:
        """The number of its examples."""
        return self.true_positives + self.false_negatives


@dataclass(frozen=True, slots=True)
class TierResult:
    """The mean of each score over the classes of a tier that have it; NaN if none has.

    Attributes:
        count: the number of classes in the tier.
        present: the number of those that had examples.
        f1, precision, recall, ap: unweighted means.
        curve: mean over present classes of the precision at each recall; NaN where it was not wanted.
    """

    count: int
    present: int
    f1: float
    precision: float
    recall: float
    ap: float
    curve: np.ndarray


def class_result(counts: np.ndarray, histogram: np.ndarray, with_ends: bool = True) -> ClassResult:
    """Return the scores of one class.

    Args:
        counts: true positives, false positives, false negatives.
        histogram: of its scores, shape (2, BINS).
        with_ends: whether ``ap_low`` and ``ap_high`` are wanted; else NaN.

    Examples:
        >>> found = class_result(np.array([3, 1, 0]), np.array([[2, 1], [0, 3]]))
        >>> found.precision, found.recall, found.support
        (0.75, 1.0, 3)
    """
    return result_of(counts.tolist(), *area_and_precision(RECALLS, histogram, with_ends))


def result_of(counts: Sequence[int], area: AveragePrecision, precisions: np.ndarray) -> ClassResult:
    """Return the scores of one class, of which the average precision and the curve are known.

    Args:
        counts: true positives, false positives, false negatives.
        area: average precision and its ends.
        precisions: at the recalls of curves.
    """
    hits, false, missed = counts
    if hits + missed == 0:
        none = math.nan
        return ClassResult(hits, false, missed, none, none, none, none, none, none, np.full(len(RECALLS), none))
    precision = hits / (hits + false) if hits + false else math.nan
    scores = precision, hits / (hits + missed), 2 * hits / (2 * hits + false + missed)
    ends = area.value, area.low, area.high
    return ClassResult(hits, false, missed, *scores, *ends, precisions)


def tier_results(
    classes: Mapping[str, ClassResult], tiers: Mapping[str, str], with_curves: bool = True
) -> dict[str, TierResult]:
    """Return the results of each tier that has classes, in the order head, medium, tail, unknown.

    Args:
        classes: class -> its scores.
        tiers: class -> its tier.
        with_curves: whether curves are wanted, which take most of the time; else NaN.
    """
    found = {}
    no_curve = np.full(len(RECALLS), math.nan)
    for tier in (*TIERS, UNKNOWN):
        inside = [result for name, result in classes.items() if tiers.get(name, UNKNOWN) == tier]
        if inside:
            present = [result for result in inside if result.support]
            each = zip(*map(_scores_of, present), strict=True) if present else [()] * len(SCORES)
            means = dict(zip(SCORES, map(_mean, each), strict=True))
            is_drawn = with_curves and present
            curve = np.mean([result.curve for result in present], axis=0) if is_drawn else no_curve
            found[tier] = TierResult(len(inside), len(present), **means, curve=curve)
    return found


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def as_dictionary(result: ClassResult | TierResult) -> dict[str, object]:
    """Return a result without its curve, as it stands in JSON."""
    return {field.name: getattr(result, field.name) for field in fields(result) if field.name != "curve"}
