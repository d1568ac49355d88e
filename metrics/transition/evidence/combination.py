"""Several layer measures together: a layer has risen where more than half of them say so."""

from collections.abc import Sequence

import numpy as np


def combined_rise(rises: Sequence[np.ndarray]) -> np.ndarray:
    """Return the lower median over measures of their rises: above 1 where more than half of them are.

    Each rise is in units of its own threshold, so that they can be compared; each never falls, and so neither does
    their median.

    Args:
        rises: of every measure, one or more, shape (R, L); a measure that is NaN throughout is left out.

    Returns:
        Shape (R, L); NaN where one of the others is, or if there is none.

    Examples:
        >>> import numpy as np
        >>> combined_rise([np.array([[0.0, 2.0]]), np.array([[0.0, 0.5]]), np.array([[0.0, 3.0]])]).tolist()
        [[0.0, 2.0]]
    """
    known = [rise for rise in rises if np.isfinite(rise).any()]
    if not known:
        return np.full_like(rises[0], np.nan)
    # NaN is sorted last: a layer that one of the measures does not know is not decided by the others alone.
    stacked = np.sort(np.stack(known), axis=0)
    middle: np.ndarray = stacked[(len(known) - 1) // 2]
    return np.where(np.isnan(stacked[-1]), np.nan, middle)
