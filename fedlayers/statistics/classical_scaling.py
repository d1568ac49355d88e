"""Points in a plane whose distances are as near as can be to given ones."""

import numpy as np


def principal_places(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return classical scaling of distances to two dimensions.

    Args:
        distances: shape (n, n), n ≥ 2, symmetric with a diagonal of zeros.

    Returns:
        Places (n, 2), and the share of the positive eigenvalues' sum that lies in each of the two, shape (2,).

    References:
        Torgerson 1952, Multidimensional scaling, Psychometrika 17; Gower 1966, Biometrika 53.
    """
    squares = np.square(distances)
    centred = -0.5 * (squares - squares.mean(0) - squares.mean(1)[:, None] + squares.mean())
    values, vectors = np.linalg.eigh(centred)
    top = np.maximum(values[::-1][:2], 0.0)
    # Eigenvectors have no sign of their own: the first client that has a place lies to the right and above.
    chosen = vectors[:, ::-1][:, :2]
    signs = np.sign(chosen[np.abs(chosen).argmax(0), [0, 1]])
    total = values[values > 0].sum()
    return chosen * signs * np.sqrt(top), top / total if total > 0 else np.zeros(2)
