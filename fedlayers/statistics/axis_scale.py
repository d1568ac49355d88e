"""The scale of an axis: linear, logarithmic, or logarithmic on both sides of zero."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlayers.statistics.decades import spans_decades

_MOST_DECADES = 4.0
_LEAST_SPAN = 1e-3
_SAME_SIGN = 0.75


@dataclass(frozen=True)
class AxisScale:
    """How an axis shows some values.

    Attributes:
        kind: ``linear``, ``log``, or ``symlog`` (linear up to a threshold and logarithmic beyond).
        threshold: of ``symlog``, positive.
        ends: of a linear axis, if it has to be wider than the values; None for as wide as they are.
    """

    kind: str
    threshold: float = 0.0
    ends: tuple[float, float] | None = None


def axis_scale(values: Sequence[float] | np.ndarray, both_signs: bool) -> AxisScale:
    """Choose the scale of an axis that shows values over decades.

    Logarithmic if all values are positive and over two decades apart. If their sizes are, but up to a quarter are
    zero or of the other sign, and the quantity has no lower limit: linear up to a threshold and logarithmic beyond, the
    threshold the 10th percentile of the sizes, but at most four decades below the largest. Else linear: on a
    logarithmic scale, noise about zero would fill the axis. A linear axis spans a thousandth of the largest value or
    more: what is closer differs by rounding in float32.

    Args:
        values: what it shows; not finite ones are left out.
        both_signs: whether the quantity reaches from below zero without a limit.
    """
    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    sizes = np.abs(found[found != 0])
    if spans_decades(found):
        return AxisScale("log")
    if spans_decades(sizes) and both_signs and _mostly_one_sign(found):
        threshold = max(float(np.quantile(sizes, 0.1)), float(sizes.max()) * 10**-_MOST_DECADES)
        return AxisScale("symlog", threshold)
    return AxisScale("linear", ends=_no_finer_than_rounding(found) if len(found) else None)


def _no_finer_than_rounding(values: np.ndarray) -> tuple[float, float] | None:
    least = _LEAST_SPAN * float(np.abs(values).max())
    low, high = float(values.min()), float(values.max())
    return ((low + high - 1.2 * least) / 2, (low + high + 1.2 * least) / 2) if high - low < least else None


def _mostly_one_sign(values: np.ndarray) -> bool:
    return bool(max(np.mean(values > 0), np.mean(values < 0)) >= _SAME_SIGN)
