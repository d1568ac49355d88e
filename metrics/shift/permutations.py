"""How often permutations reach what was observed, with no more of them than it takes to say so."""

from collections.abc import Callable

import numpy as np

# Permutations that show whether more are needed, how many of them are enough for "no", and how many follow at a time.
FIRST, ENOUGH = 199, 20
_BLOCK = 2000
# Values that differ by less are equal, rounded otherwise.
_TIE = 1e-9


def permutation_p(observed: float, drawn: Callable[[int], np.ndarray], permutations: int) -> float:
    """Return the p value of "permutations give as much", (1 + reached) / (1 + drawn).

    If 20 or more of the first 199 reach the observed value, no more are drawn: p is above 0.1 then, and tests at a
    level below that keep it.

    Args:
        observed: the value.
        drawn: returns values of so many permutations.
        permutations: how many at most; the smallest p value is 1 / (1 + permutations).

    References:
        Besag & Clifford 1991, Sequential Monte Carlo p-values, Biometrika 78.

    Examples:
        >>> import numpy as np
        >>> permutation_p(2.0, np.zeros, 999), permutation_p(0.0, np.zeros, 999)
        (0.001, 1.0)
    """
    reached, made = 0, 0
    while made < permutations and (reached < ENOUGH or made > FIRST):
        count = min(permutations - made, _BLOCK if made else FIRST)
        reached, made = reached + int((drawn(count) >= observed - _TIE).sum()), made + count
    return (1 + reached) / (1 + made)
