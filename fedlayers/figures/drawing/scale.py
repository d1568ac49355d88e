"""The scale of an axis: linear, logarithmic, or logarithmic on both sides of zero."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from fedlayers.core.quantities import Facts
from fedlayers.statistics.decades import spans_decades
from fedlayers.views.quantities import can_be_negative

_MOST_DECADES = 4.0
_LEAST_SPAN = 1e-3
_SAME_SIGN = 0.75
# Numbers below an axis need more room than beside it.
_MOST_TICKS = {"x": 5, "y": 7}


def scale_for(axes: Axes, values: Sequence[float] | np.ndarray, quantity: Facts) -> None:
    """Choose the scale of the y axis that shows a metric's values over decades.

    Logarithmic if all values are positive and over two decades apart. If their sizes are, but up to a quarter are
    zero or of the other sign, and the metric has no lower limit: linear up to a threshold and logarithmic beyond, the
    threshold the 10th percentile of the sizes, but at most four decades below the largest. Else linear: on a
    logarithmic scale, noise about zero would fill the axis.

    Args:
        axes: whose y axis.
        values: what it shows; not finite ones are left out.
        quantity: whose values.
    """
    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    sizes = np.abs(found[found != 0])
    if spans_decades(found):
        axes.set_yscale("log")
    elif spans_decades(sizes) and can_be_negative(quantity) and _mostly_one_sign(found):
        threshold = max(float(np.quantile(sizes, 0.1)), float(sizes.max()) * 10**-_MOST_DECADES)
        symlog(axes, "y", found, threshold)
    elif len(found):
        _no_finer_than_rounding(axes, found)


def _no_finer_than_rounding(axes: Axes, values: np.ndarray) -> None:
    """Let the y axis span a thousandth of the largest value or more: what is closer differs by rounding in float32."""
    least = _LEAST_SPAN * float(np.abs(values).max())
    low, high = float(values.min()), float(values.max())
    if high - low < least:
        axes.set_ylim((low + high - 1.2 * least) / 2, (low + high + 1.2 * least) / 2)


def _mostly_one_sign(values: np.ndarray) -> bool:
    return bool(max(np.mean(values > 0), np.mean(values < 0)) >= _SAME_SIGN)


def symlog(axes: Axes, axis: str, values: np.ndarray, threshold: float) -> None:
    """Make an axis linear between ±threshold and logarithmic beyond, with labels that do not overlap.

    Args:
        axes: whose axis.
        axis: ``x`` or ``y``.
        values: what it shows, finite.
        threshold: positive; rounded down to a power of ten.
    """
    lowest = math.floor(math.log10(threshold))
    ends = {sign: math.floor(math.log10(max(float((sign * values).max()), 10.0**lowest))) for sign in (1, -1)}
    powers = [(sign, power) for sign, end in ends.items() for power in range(lowest, end + 1) if end > lowest]
    step = -(-len(powers) // (_MOST_TICKS[axis] - 1)) or 1
    ticks = sorted([0.0, *(sign * 10.0**power for sign, power in powers if (ends[sign] - power) % step == 0)])
    name = {"x": "set_xscale", "y": "set_yscale"}[axis]
    getattr(axes, name)("symlog", linthresh=10.0**lowest)
    of_axis = axes.xaxis if axis == "x" else axes.yaxis
    of_axis.set_ticks(ticks)
    (axes.axhline if axis == "y" else axes.axvline)(0.0, color="#888888", lw=0.6, zorder=0)
