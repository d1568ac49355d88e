"""A representation in the coordinates of its principal directions."""

import torch
from torch import Tensor

# Directions below this share of the largest one's variance are rounding errors of float32.
NOISE = 1e-10


def principal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return a centred representation rotated to its principal directions, and their shares of ‖X‖_F².

    With X = U S Vᵀ: X V = U S and S². The eigenvectors come from the smaller of XᵀX and X Xᵀ.

    Args:
        rows: X, shape (N, d), columns with mean 0.

    Returns:
        X V, shape (N, r) with r = min(N, d), and S², shape (r,), descending, 0 or more.

    Examples:
        >>> import torch
        >>> left, squares = principal(torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
        >>> squares.round(decimals=6).tolist()
        [16.0, 9.0]
    """
    wide = rows.shape[1] > len(rows)
    eigenvalues, vectors = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    squares = eigenvalues.flip(0).clamp(min=0)
    vectors = vectors.flip(1)
    if not wide:
        return rows @ vectors, squares
    # The root would turn a rounding error of 1e-15 into 3e-8.
    return vectors * squares.where(squares > 1e-13 * squares[0], 0.0).sqrt(), squares


def directions(squares: Tensor) -> int:
    """Return how many principal directions a representation has, rounding errors left out.

    Args:
        squares: S² of :func:`principal`, descending, shape (r,).

    Examples:
        >>> import torch
        >>> directions(torch.tensor([9.0, 4.0, 1e-20], dtype=torch.float64))
        2
    """
    return int((squares > NOISE * squares[0]).sum())
