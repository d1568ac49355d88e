"""Where the band of chance ends, from a sample of what chance produces."""

import numpy as np

_SHARE = 0.05
# Of fewer, even the most extreme is passed more often than one time in twenty.
_FEWEST = 19


def chance_quantile(values: np.ndarray, upper: bool) -> np.ndarray:
    """Return what a further value of chance passes with probability 0.05; NaN if fewer than 19 are known.

    Of m + 1 exchangeable values each is equally likely to be the k-th, so that a further one is above the k-th of m
    with probability 1 − k / (m + 1): the 95 % quantile is the value of rank 0.95 (m + 1), between two the interpolated
    one (Weibull's plotting positions). The plain quantile of the sample is passed too often: by 9 % if m = 20.

    Args:
        values: shape (…, m).
        upper: whether the band ends above, at the 95 % quantile, or below, at the 5 % quantile.

    Returns:
        Shape (…).

    References:
        Weibull 1939; Hyndman & Fan 1996, Sample Quantiles in Statistical Packages, The American Statistician 50
        (definition 6).

    Examples:
        >>> import numpy as np
        >>> float(chance_quantile(np.arange(1.0, 100.0), upper=True))
        95.0
    """
    if values.shape[-1] < _FEWEST:
        return np.full(values.shape[:-1], np.nan)
    share = 1 - _SHARE if upper else _SHARE
    found: np.ndarray = np.quantile(values, share, axis=-1, method="weibull")
    return found
