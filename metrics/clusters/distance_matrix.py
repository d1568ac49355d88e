"""What clusters are found in: a matrix of distances, checked and put in an order of its own."""

import numpy as np

# Of the largest distance: below it there is the rounding of whoever computed the distances.
_ROUNDING = 1e-9
# Of the largest eigenvalue: distances in float32 make eigenvalues so far below 0.
_LEAST_EIGENVALUE = -1e-6


def checked_distances(distances: np.ndarray) -> np.ndarray:
    """Return a matrix of distances as float64, exactly symmetric, with a diagonal of zeros.

    Args:
        distances: d_ij between clients i and j, shape (n, n), n ≥ 1. Deviations up to 1e-9 of the largest distance are
            taken for rounding and averaged away.

    Raises:
        ValueError: if the matrix is not square, empty, not finite or not symmetric, if it has a distance below 0, or if
            a client is away from itself.

    Examples:
        >>> import numpy as np
        >>> checked_distances(np.array([[0.0, 2.0], [2.0, 0.0]])).tolist()
        [[0.0, 2.0], [2.0, 0.0]]
    """
    given = np.asarray(distances, dtype=np.float64)
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not len(given):
        raise ValueError(f"distances must have shape (n, n) with n of 1 or more, got {given.shape}")
    _refuse(~np.isfinite(given), given, "distances must be finite")
    tolerance = _ROUNDING * float(np.abs(given).max())
    _refuse(np.abs(given - given.T) > tolerance, given, "distances must be symmetric")
    _refuse(given < -tolerance, given, "distances must be 0 or more")
    _refuse(np.diag(np.abs(np.diag(given)) > tolerance), given, "distances of clients to themselves must be 0")
    found = np.maximum((given + given.T) / 2, 0.0)
    np.fill_diagonal(found, 0.0)
    return found


def client_order(distances: np.ndarray) -> np.ndarray:
    """Return an order of the clients that depends on their distances alone: by their mean distance from the others.

    Clusters that are found in this order are the same in whatever order the clients came; only clients with equal mean
    distances keep the order that they came in.

    Args:
        distances: see :func:`checked_distances`.

    Returns:
        Indices, shape (n,).

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> client_order(distances).tolist()
        [1, 2, 0, 3]
    """
    # Sums of sorted numbers do not depend on the order that the numbers came in, not even in the last bit.
    found: np.ndarray = np.sort(distances, axis=1).sum(1).argsort(kind="stable")
    return found


def is_euclidean(distances: np.ndarray) -> bool:
    """Return whether some points have these distances: :func:`inner_products` has no eigenvalue below 0.

    Args:
        distances: see :func:`checked_distances`. Eigenvalues down to −1e-6 of the largest are taken for rounding.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> is_euclidean(distances), is_euclidean(distances**2)
        (True, False)
    """
    values = np.linalg.eigvalsh(inner_products(distances))
    return bool(values[0] >= _LEAST_EIGENVALUE * max(values[-1], 0.0))


def inner_products(distances: np.ndarray) -> np.ndarray:
    """Return the inner products of the points that have these distances: −½ J D² J, J = I − 11ᵀ/n.

    Args:
        distances: see :func:`checked_distances`.

    Returns:
        Shape (n, n); rows and columns sum to 0.

    References:
        Torgerson 1952, Multidimensional scaling: I. Theory and method, Psychometrika 17; Gower 1966, Biometrika 53.

    Examples:
        >>> import numpy as np
        >>> points = np.array([0.0, 1.0, 10.0, 12.0])
        >>> distances = np.abs(points[:, None] - points)
        >>> inner_products(distances).diagonal().round(3).tolist()
        [33.062, 22.562, 18.062, 39.062]
    """
    squares = np.square(distances)
    means = squares.mean(0)
    found: np.ndarray = -0.5 * (squares - means - means[:, None] + means.mean())
    return found


def _refuse(wrong: np.ndarray, given: np.ndarray, rule: str) -> None:
    if wrong.any():
        i, j = (int(k) for k in np.argwhere(wrong)[0])
        across = f" and {given[j, i]:g} back" if i != j and given[i, j] != given[j, i] else ""
        raise ValueError(f"{rule}, got {given[i, j]:g} from client {i} to client {j}{across}")
