"""Standard errors from random halves of the examples, for measures whose derivative is not at hand."""

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from metrics.compare.chance.permutations import example_permutations

HALVES = 24
_SEED = 2


def half_samples(examples: int) -> list[Tensor]:
    """Return the places of the examples in 24 random halves, the same for every pair, each of shape (examples // 2,).

    Args:
        examples: n.
    """
    return [order[: examples // 2].sort().values for order in example_permutations(examples, HALVES, _SEED)]


def spread_of_halves(values: np.ndarray, steps: np.ndarray, examples: int) -> float:
    """Return the standard error of a value from the values in halves of its sample; NaN where a jump decides.

    Around the value of all n examples, those of random subsets of m examples scatter with the variance σ² (1/m − 1/n):
    of halves with σ²/n, that of the value itself. What is chosen by a threshold (how many directions are kept) is
    chosen differently in halves as often as in further samples, which leaving out small blocks would not show. With 24
    halves the error is known to one part in √46: 15 %.

    Args:
        values: of the halves, shape (h,).
        steps: the values of all examples with what every half chose by a threshold, shape (h,). If they scatter more
            than the rest, the value jumps between samples: no standard error makes intervals of it.
        examples: n.

    References:
        Politis, Romano & Wolf 1999, Subsampling; Wu 1990, On the asymptotic properties of the jackknife histogram,
        Annals of Statistics 18 (half-samples).

    Examples:
        >>> import numpy as np
        >>> values = np.random.default_rng(0).normal(0.5, 0.1, size=24)
        >>> round(spread_of_halves(values, np.full(24, 0.5), examples=100), 2)
        0.09
    """
    half = examples // 2
    if not np.isfinite(values).all() or steps.std() > (values - steps).std():
        return math.nan
    return float(values.std(ddof=1)) * math.sqrt(half / (examples - half))


def told(choices: Sequence[tuple[int, ...]]) -> str:
    """Return numbers that were chosen in words, such as ``2 to 3 and 5``.

    Args:
        choices: one or more; what was chosen each time, for every side.
    """
    sides = zip(*choices, strict=True)
    return " and ".join(f"{min(side)}" if min(side) == max(side) else f"{min(side)} to {max(side)}" for side in sides)
