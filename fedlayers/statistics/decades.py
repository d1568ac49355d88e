"""Whether values are so far apart that they need a logarithmic scale."""

from collections.abc import Sequence

import numpy as np


def spans_decades(values: Sequence[float] | np.ndarray, decades: float = 2.0) -> bool:
    """Say whether all values are positive and the largest is more than so many decades above the smallest."""
    found = np.asarray(values, float)
    found = found[np.isfinite(found)]
    return bool(found.size and found.min() > 0 and found.max() > found.min() * 10**decades)
