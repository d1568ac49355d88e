"""How far each value of a group lies from the middle of the group, in units of how far values usually do."""

import numpy as np

# By which the median absolute deviation of a normal distribution is its standard deviation.
_NORMAL = 0.6745
_FEWEST = 3
# As a share of the largest value: what is closer differs by rounding in float32.
_ROUNDING = 1e-6
# Iglewicz & Hoaglin label values beyond as possible outliers.
ODD = 3.5


def modified_z_scores(values: np.ndarray) -> np.ndarray:
    """Return 0.6745 (x − median) / MAD of each value, MAD the median of |x − median|.

    Args:
        values: of one group along the last axis, NaN where there is none, shape (…, n).

    Returns:
        The same shape; NaN where there is no value, in groups of fewer than three values, and where more than half of a
        group's values are the same but for rounding (the MAD is at most a millionth of the largest size).

    Examples:
        >>> modified_z_scores(np.array([1.0, 2.0, 3.0, 4.0, 30.0])).round(2).tolist()
        [-1.35, -0.67, 0.0, 0.67, 18.21]

    References:
        Iglewicz & Hoaglin 1993, How to detect and handle outliers, ASQC Basic References in Quality Control 16.
    """
    found = np.where(np.isfinite(values), values, np.nan)
    many = np.isfinite(found).sum(-1, keepdims=True) >= _FEWEST
    # A group without values has no median.
    filled = np.where(many, found, 0.0)
    away = filled - np.nanmedian(filled, axis=-1, keepdims=True)
    spread = np.nanmedian(np.abs(away), axis=-1, keepdims=True)
    scores = np.full(found.shape, np.nan)
    least = _ROUNDING * np.nanmax(np.abs(filled), axis=-1, keepdims=True)
    np.divide(_NORMAL * away, spread, out=scores, where=many & (spread > least))
    return scores
