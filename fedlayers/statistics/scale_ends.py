"""The ends of a scale of values: never finer than what the values can tell apart."""

import numpy as np

from fedlayers.statistics.decades import spans_decades

# Below this share of a metric's range, or of its largest value where the range has no end, differences are not shown:
# a similarity of 0.9995 looks like one of 1, and rounding in float32 like nothing at all.
_LEAST_OF_RANGE = 0.05
_LEAST_OF_VALUE = 1e-3
# The width of a 95 % interval in standard errors.
_INTERVAL = 2 * 1.96


def scale_ends(
    values: np.ndarray, errors: np.ndarray, limits: tuple[float, float], itself: float
) -> tuple[float, float]:
    """Return the values at the two ends of a scale, such as one of colours.

    The lowest and the highest value if all are positive and over two decades apart, for a logarithmic scale. Else those
    and that of a thing with itself, if it is known. If they are closer than the median 95 % interval of the values,
    a twentieth of the range, or a thousandth of the largest value where the range has no end, then that far apart:
    towards the middle from the value of a thing with itself, else on both sides.

    Args:
        values: all that is shown, not finite ones among them, shape (n,).
        errors: their standard errors, NaN where they are not known, shape (n,).
        limits: the lowest and the highest value there can be, infinite where there is no limit.
        itself: the value of a thing with itself, NaN if it is not known.
    """
    if spans_decades(values):
        return float(np.nanmin(values)), float(np.nanmax(values))
    shown = np.append(values[np.isfinite(values)], itself if np.isfinite(itself) else [])
    if not len(shown):
        return 0.0, 1.0
    low, high = float(shown.min()), float(shown.max())
    lowest, highest = limits
    of_range = _LEAST_OF_RANGE * (highest - lowest)
    least = of_range if np.isfinite(of_range) else _LEAST_OF_VALUE * max(abs(low), abs(high))
    errors = errors[np.isfinite(errors) & np.isfinite(values)]
    least = max(least, _INTERVAL * float(np.median(errors)) if len(errors) else 0.0)
    missing = least - (high - low)
    if missing <= 0:
        return low, high
    below = 0.0 if itself == lowest else missing if itself == highest else min(missing / 2, low - lowest)
    return low - below, min(low - below + least, highest)
