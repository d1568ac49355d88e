"""Ranks of algorithms: within blocks, and their means."""

import numpy as np


def ranks_in_blocks(values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Return the ranks of algorithms within every block, 1 the best; equal ones share the mean of their ranks.

    Args:
        values: shape (blocks, algorithms), finite.
        higher_is_better: whether the largest value is the best.

    Examples:
        >>> import numpy as np
        >>> ranks_in_blocks(np.array([[0.9, 0.7, 0.7], [0.5, 0.6, 0.8]]), True).tolist()
        [[1.0, 2.5, 2.5], [3.0, 2.0, 1.0]]
    """
    from scipy.stats import rankdata

    found: np.ndarray = rankdata(-values if higher_is_better else values, axis=1)
    return found


def mean_ranks(values: np.ndarray, higher_is_better: bool) -> np.ndarray:
    """Return the mean rank over blocks of every algorithm.

    Args:
        values: shape (blocks, algorithms), finite; one block or more.
        higher_is_better: whether the largest value is the best.

    Examples:
        >>> import numpy as np
        >>> mean_ranks(np.array([[0.9, 0.7, 0.7], [0.5, 0.6, 0.8]]), True).tolist()
        [2.0, 2.25, 1.75]
    """
    found: np.ndarray = ranks_in_blocks(values, higher_is_better).mean(axis=0)
    return found
