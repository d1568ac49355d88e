"""The scale of an axis: linear, logarithmic, or logarithmic on both sides of zero."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from fedlayers.core.quantities import Facts
from fedlayers.statistics.axis_scale import axis_scale
from fedlayers.views.quantities import can_be_negative

# Numbers below an axis need more room than beside it.
_MOST_TICKS = {"x": 5, "y": 7}


def scale_for(axes: Axes, values: Sequence[float] | np.ndarray, quantity: Facts) -> None:
    """Give the y axis the scale that shows a quantity's values; see :func:`fedlayers.statistics.axis_scale.axis_scale`.

    Args:
        axes: whose y axis.
        values: what it shows; not finite ones are left out.
        quantity: whose values.
    """
    scale = axis_scale(values, can_be_negative(quantity))
    if scale.kind == "log":
        axes.set_yscale("log")
    elif scale.kind == "symlog":
        found = np.asarray(values, float)
        symlog(axes, "y", found[np.isfinite(found)], scale.threshold)
    elif scale.ends is not None:
        axes.set_ylim(*scale.ends)


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
