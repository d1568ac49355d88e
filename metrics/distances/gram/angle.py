"""The cosine distance of two vectors, exact for nearly equal ones, too."""

import math

import numpy as np


def cosine_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return 1 − cos of the angle between two vectors, in [0, 2].

    1 − xᵀy / (‖x‖ ‖y‖) loses all digits if the angle is small. The same is ‖w‖² / (8 ‖x‖² ‖y‖²) with
    w = 2 (‖y‖ x − ‖x‖ y) = N (x − y) − ((x − y)ᵀ(x + y) / N) (x + y), N = ‖x‖ + ‖y‖, which never subtracts large
    numbers but in x − y, where nothing is lost. Symmetric to the last bit.

    Args:
        x: shape (d,).
        y: shape (d,).

    Returns:
        The distance. Against a zero vector: 1, or 0 if both are zero. NaN if a number is not finite.

    References:
        Kahan 2006, How Futile are Mindless Assessments of Roundoff in Floating-Point Computation?, section 12 (angles).

    Examples:
        >>> import numpy as np
        >>> x, y = np.array([1.0, 2.0, 2.0]), np.array([1.0, 0.0, -2.0])
        >>> round(cosine_distance(x, y), 6)
        1.447214
    """
    largest = [float(np.abs(vector).max(initial=0)) for vector in (x, y)]
    if not all(map(math.isfinite, largest)):
        return math.nan
    # Powers of two: exact, and no square overflows or vanishes.
    first, second = (math.frexp(value)[1] for value in largest)
    if abs(first - second) == 1:
        # Nearly equal vectors must keep their difference.
        first = second = max(first, second)
    u, v = np.ldexp(x, -first, dtype=np.float64), np.ldexp(y, -second, dtype=np.float64)
    squares = float(u @ u), float(v @ v)
    if not all(squares):
        return float(any(squares))
    difference, total = u - v, u + v
    norms = math.sqrt(squares[0]) + math.sqrt(squares[1])
    w = norms * difference - (float(difference @ total) / norms) * total
    return min(2.0, float(w @ w) / (8 * squares[0] * squares[1]))
