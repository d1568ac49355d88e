"""The ends of a colour scale: one for all panels of a metric, and never finer than what the values can tell apart."""

import numpy as np
import pandas as pd

from fedlayers.core.quantities import Facts
from fedlayers.statistics.decades import spans_decades
from fedlayers.views.quantities import value_of_itself

# Below this share of a metric's range, or of its largest value where the range has no end, differences are not shown:
# a similarity of 0.9995 looks like one of 1, and rounding in float32 like nothing at all.
_LEAST_OF_RANGE = 0.05
_LEAST_OF_VALUE = 1e-3
# The width of a 95 % interval in standard errors.
_INTERVAL = 2 * 1.96


def colour_limits(rows: pd.DataFrame, quantity: Facts) -> tuple[float, float]:
    """Return the values at the light and the dark end of a colour scale.

    The lowest and the highest value if all are positive and over two decades apart, for a logarithmic scale. Else those
    and that of a thing with itself, if it is known. If they are closer than the median 95 % interval of the values,
    a twentieth of the metric's range, or a thousandth of the largest value where the range has no end, then that far
    apart: towards the middle from the value of a thing with itself, else on both sides.

    Args:
        rows: all that the figure or the page shows of the metric, with ``value`` and ``stderr``.
        quantity: what is known of it.
    """
    values, errors = (rows[name].to_numpy(float, na_value=np.nan) for name in ("value", "stderr"))
    if spans_decades(values):
        return float(np.nanmin(values)), float(np.nanmax(values))
    itself = value_of_itself(quantity)
    shown = np.append(values[np.isfinite(values)], itself if np.isfinite(itself) else [])
    if not len(shown):
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    lowest, highest = quantity.limits
    of_range = _LEAST_OF_RANGE * (highest - lowest)
    least = of_range if np.isfinite(of_range) else _LEAST_OF_VALUE * max(abs(low), abs(high))
    errors = errors[np.isfinite(errors) & np.isfinite(values)]
    least = max(least, _INTERVAL * float(np.median(errors)) if len(errors) else 0.0)
    missing = least - (high - low)
    if missing <= 0:
        return low, high
    below = 0.0 if itself == lowest else missing if itself == highest else min(missing / 2, low - lowest)
    return low - below, min(low - below + least, highest)
