"""How wide a density is."""

import numpy as np


def half_width(x: np.ndarray, y: np.ndarray, share: float = 0.9) -> float:
    """Return the smallest |eigenvalue| below which so much of the density's mass lies (trapezoidal rule).

    Args:
        x: eigenvalues, ascending, shape (n,).
        y: density, shape (n,).
        share: in (0, 1].
    """
    sizes = np.abs((x[1:] + x[:-1]) / 2)
    mass = np.diff(x) * (y[1:] + y[:-1]) / 2
    order = np.argsort(sizes)
    below = np.cumsum(mass[order])
    return float(sizes[order][np.searchsorted(below, share * below[-1])])
