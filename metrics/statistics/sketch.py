"""Count-sketches: short vectors whose inner products estimate those of long ones without bias."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.seeding import torch_generator

# The narrowest sketch that is of any use: relative error of a squared norm √(2/64) = 18 %.
SMALLEST_WIDTH = 64


def count_sketch(vector: Tensor, width: int, purpose: str) -> Tensor:
    """Return S x, each entry a sum of randomly chosen, randomly signed entries of x.

    (S x)_b = Σ_{j: h(j) = b} s(j) x_j with independent uniform h(j) in {0 … width − 1} and s(j) = ±1. Then
    E⟨S x, S y⟩ = ⟨x, y⟩, and ‖S x‖² has variance at most 2 ‖x‖⁴ / width. S is linear and the same in every run
    and on every client.

    Args:
        vector: x, shape (d,).
        width: length of the sketch, 1 or more.
        purpose: names S, such as a layer's name; sketches are comparable only for the same name, d and width.

    Returns:
        The sketch, shape (width,), float32, on the CPU.

    References:
        Charikar, Chen & Farach-Colton 2002, Finding Frequent Items in Data Streams. Weinberger et al. 2009,
        Feature Hashing for Large Scale Multitask Learning, arXiv 0902.2206 (unbiasedness, variance).

    Examples:
        >>> import torch
        >>> count_sketch(torch.tensor([3.0, 4.0]), 64, "update").square().sum().item()
        25.0
    """
    generator = torch_generator(0, f"count-sketch/{purpose}/{width}")
    buckets = torch.randint(width, (len(vector),), generator=generator)
    signs = torch.randint(2, (len(vector),), generator=generator) * 2 - 1
    return torch.zeros(width, dtype=torch.float64).index_add_(0, buckets, vector.double().cpu() * signs).float()


def sketch_widths(sizes: Sequence[int], budget: int) -> list[int]:
    """Return how many numbers to send for each vector so that they fit a budget: short vectors stay whole.

    Args:
        sizes: lengths of the vectors.
        budget: numbers that may be sent in total.

    Returns:
        Widths, at most ``sizes``, summing to ``budget`` or less; vectors are cut to one common width.

    Raises:
        ValueError: if the budget leaves less than ``SMALLEST_WIDTH`` for a vector that has to be cut.
    """
    if sum(sizes) <= budget:
        return list(sizes)
    left = budget
    ascending = np.sort(np.asarray(sizes))
    for place, size in enumerate(ascending.tolist()):
        level = left // (len(sizes) - place)
        if size > level:
            break
        left -= size
    if level < SMALLEST_WIDTH:
        raise ValueError(
            f"the payload limit must leave {SMALLEST_WIDTH} numbers or more a layer, got {level}; "
            "raise metrics.payload_mb"
        )
    return [min(size, level) for size in sizes]
