"""The leading principal components of a representation, standardised."""

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor

# What is sought is found by iteration where it stands out, in matrices of that size or more.
_LARGE, _BLOCK, _ITERATIONS, _TOLERANCE = 512, 24, 12, 1e-11


def smaller_products(rows: Tensor) -> Tensor:
    """Return X Xᵀ, or Xᵀ X if there are fewer units than examples, of X, shape (n, d).

    Examples:
        >>> import torch
        >>> smaller_products(torch.ones(5, 2)).shape, smaller_products(torch.ones(2, 5)).shape
        (torch.Size([2, 2]), torch.Size([2, 2]))
    """
    return rows.T @ rows if rows.shape[1] < rows.shape[0] else rows @ rows.T


def leading_components(rows: Tensor, products: Tensor, count: int) -> Tensor:
    """Return the coordinates of the examples along the leading principal directions, each with variance 1.

    The sign of each is that which makes its largest entry positive.

    Args:
        rows: a centred representation, shape (n, d), float64.
        products: of them, see :func:`smaller_products`.
        count: how many, 1 or more; no more are returned than the representation has directions.

    Returns:
        Shape (n, r), float64, r ≤ count; r = 0 where all examples are the same.

    Examples:
        >>> import torch
        >>> x = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
        >>> leading_components(x, smaller_products(x), 1).abs().round(decimals=4).flatten().tolist()
        [1.2247, 1.2247, 0.0, 0.0]
    """
    n, d = rows.shape
    size = len(products)
    squares, vectors = _largest(products.numpy(), min(count, size))
    kept = np.flatnonzero(squares > max(n, d) * np.finfo(np.float64).eps * float(products.trace()))[::-1]
    chosen = vectors[:, kept]
    if d < n:
        chosen = rows.numpy() @ (chosen / np.sqrt(squares[kept]))
    chosen = chosen * np.sign(np.take_along_axis(chosen, np.abs(chosen).argmax(0)[None], 0))
    return torch.from_numpy(np.ascontiguousarray(chosen * np.sqrt(n - 1)))


def _largest(products: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a matrix, ascending, and their vectors.

    Of a large one by subspace iteration from a start that is always the same, a quarter of the time of a decomposition,
    which is what remains where the iteration has not come to an end: where many directions are about equal.
    """
    size = len(products)
    found = _iterated(products, count) if size >= _LARGE else None
    return found or eigh(products, subset_by_index=[size - count, size - 1])


def _iterated(products: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((len(products), _BLOCK)))[0]
    for _ in range(_ITERATIONS):
        images = products @ basis
        values, turns = np.linalg.eigh(basis.T @ images)
        leading, last = turns[:, -count:], values[-count:]
        vectors = basis @ leading
        if np.abs(images @ leading - vectors * last).max() <= _TOLERANCE * last[-1]:
            return last, vectors
        basis = np.linalg.qr(images)[0]
    return None
