"""Standard errors from leaving out one block of the sample after the other."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def jackknife_error(value: float, without: Tensor, sizes: Tensor) -> float | None:
    """Return the delete-a-block jackknife standard error of an estimate.

    With n = Σ m_j, h_j = n / m_j, pseudo-values θ̃_j = h_j θ − (h_j − 1) θ_{−j} and
    θ_J = J θ − Σ_j (1 − m_j / n) θ_{−j}, it is √( (1/J) Σ_j (θ̃_j − θ_J)² / (h_j − 1) ). With J blocks it is itself
    known to about one part in √(2(J − 1)): 27 % for eight.

    Args:
        value: the estimate θ from the whole sample.
        without: θ_{−j}, the estimates without block j, shape (J,), J ≥ 2.
        sizes: the sizes m_j of the blocks, shape (J,), positive.

    Returns:
        The standard error, None if J < 2 or an estimate is NaN or infinite.

    References:
        Busing, Meijer & van der Leeden 1999, Delete-m jackknife for unequal m, Statistics and Computing 9.

    Examples:
        >>> import torch
        >>> x = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
        >>> without = (x.sum() - x) / 3
        >>> round(jackknife_error(float(x.mean()), without, torch.ones(4)), 4), round(float(x.std() / 2), 4)
        (1.0801, 1.0801)
    """
    return jackknife_errors([value], without[None], sizes)[0]


def jackknife_errors(values: Sequence[float], without: Tensor, sizes: Tensor) -> list[float | None]:
    """Return :func:`jackknife_error` of several estimates from the same blocks.

    Args:
        values: the estimates from the whole sample.
        without: those without each block, shape (len(values), J).
        sizes: the sizes of the blocks, shape (J,), positive.

    Examples:
        >>> import torch
        >>> jackknife_errors([2.0, math.nan], torch.tensor([[1.0, 3.0], [1.0, 3.0]]), torch.ones(2))
        [1.0, None]
    """
    blocks = without.shape[1]
    finite = [math.isfinite(value) for value in values]
    known = torch.tensor(finite) & without.isfinite().all(1) & (blocks > 1)
    share = sizes.double() / sizes.sum()
    ratio, whole = 1 / share, torch.tensor(values, dtype=torch.float64)[:, None]
    pseudo = ratio * whole - (ratio - 1) * without
    centre = blocks * whole - ((1 - share) * without).sum(1, keepdim=True)
    squares = ((pseudo - centre).square() / (ratio - 1)).mean(1)
    pairs = zip(squares.tolist(), known.tolist(), strict=True)
    return [math.sqrt(square) if is_known else None for square, is_known in pairs]


def block_sizes(n: int, blocks: int) -> list[int]:
    """Split n ≥ 1 examples into at most ``blocks`` blocks of sizes that differ by one at most."""
    count = min(n, blocks)
    return [n // count + (index < n % count) for index in range(count)]


def leave_out(totals: Tensor) -> Tensor:
    """Return the sums without each block from the blocks' sums, along the last axis.

    Examples:
        >>> import torch
        >>> leave_out(torch.tensor([1.0, 2.0, 3.0])).tolist()
        [5.0, 4.0, 3.0]
    """
    return torch.sum(totals, -1, keepdim=True) - totals
