"""How quantities go together: Pearson's correlation of each two, over the observations that have both."""

import numpy as np

# Two points always lie on a line.
LEAST_OBSERVATIONS = 3


def correlations(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Pearson's correlation of every two columns, and over how many observations.

    Args:
        values: shape (observations, quantities), NaN where there is no value.

    Returns:
        Correlations, shape (quantities, quantities), NaN where fewer than three observations have both or one of them
        is the same in all of these; and the number of observations that have both, same shape.

    Examples:
        >>> import numpy as np
        >>> found, counts = correlations(np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [3.0, 6.5, 5.0]]))
        >>> found.round(3).tolist()
        [[1.0, 0.998, nan], [0.998, 1.0, nan], [nan, nan, nan]]
    """
    known = np.isfinite(values)
    counts = known.T.astype(int) @ known.astype(int)
    found = np.full(counts.shape, np.nan)
    for one, other in zip(*np.nonzero(counts >= LEAST_OBSERVATIONS), strict=True):
        both = known[:, one] & known[:, other]
        first, second = values[both, one], values[both, other]
        if one <= other and np.ptp(first) > 0 and np.ptp(second) > 0:
            found[one, other] = found[other, one] = np.clip(np.corrcoef(first, second)[0, 1], -1, 1)
    return found, counts
