"""Means of sizes, which are above zero and differ by factors."""

import math

import numpy as np

from fedlayers.statistics.differences import mean_interval

# Of fewer values an interval says next to nothing: with two, t is 12.7.
_FEWEST = 3


def geometric_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the geometric mean exp(m) and its 95 % interval exp(m ± t s / √n), never below zero.

    m and s are mean and standard deviation of ln x, t is Student's quantile at n − 1 degrees of freedom. The interval
    is NaN for fewer than three values, and where one of them is zero, of which the mean is zero.

    Args:
        values: shape (n,), 0 or more; n ≥ 1.

    Examples:
        >>> import numpy as np
        >>> [round(end, 3) for end in geometric_interval(np.array([1.0, 10.0, 100.0]))]
        [10.0, 0.033, 3048.862]
    """
    if not (values > 0).all():
        return 0.0, math.nan, math.nan
    mean, low, high = mean_interval(np.log(values))
    if len(values) < _FEWEST:
        return math.exp(mean), math.nan, math.nan
    return math.exp(mean), math.exp(low), math.exp(high)
