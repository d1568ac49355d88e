"""Products of two representations over their examples, after one side's examples were shuffled."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from metrics.compare.products.centred import Centred

_MOST_BYTES = 2**26
# With fewer examples a random permutation may change nothing, and its value has to equal the observed one.
_FLOAT32_FROM = 32


def shuffled_products(a: Centred, b: Centred, orders: Tensor) -> Iterator[Tensor]:
    """Yield XᵀΠY for permutations Π of whole examples, many at a time, shape (k, p, q).

    In float32 if there are 32 examples or more.

    Args:
        a: X, shape (N, p).
        b: Y, shape (N, q).
        orders: the permutations, shape (permutations, n).
    """
    dtype = torch.float64 if a.examples < _FLOAT32_FROM else torch.float32
    x, y = a.rows.to(dtype), b.rows.to(dtype)
    by_example = y.reshape(b.examples, -1)
    at_once = max(1, _MOST_BYTES // (y.numel() * y.element_size()))
    for start in range(0, len(orders), at_once):
        some = orders[start : start + at_once]
        # Side by side, so that one large product gives all: (n, k, positions, q) to (n · positions, k · q).
        shuffled = by_example.index_select(0, some.T.flatten()).reshape(b.examples, len(some), -1, y.shape[1])
        product = x.T @ shuffled.transpose(1, 2).reshape(len(y), -1)
        yield product.reshape(x.shape[1], len(some), -1).transpose(0, 1)


def shuffled_norms(a: Centred, b: Centred, orders: Tensor) -> np.ndarray:
    """Return the nuclear norm ‖XᵀΠY‖_* for every permutation, shape (permutations,).

    The singular values are roots of eigenvalues, known to 1e-8 of the largest: enough for what is compared with chance.
    """
    found = []
    for matrices in shuffled_products(a, b, orders):
        exact = matrices.double()
        small = exact if exact.shape[1] <= exact.shape[2] else exact.mT
        squares = torch.linalg.eigvalsh(small @ small.mT)
        found.append(squares.clamp(min=0).sqrt().sum(1))
    return torch.cat(found).numpy()
