"""The mean divergence of two predictions of the same examples, against examples in random order."""

from collections.abc import Callable

import torch
from torch import Tensor

from metrics.readouts.reading import Reading, below_chance, mean_and_error


def paired_mean(divergence: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, orders: Tensor) -> Reading:
    """Return the mean divergence, its standard error, and its place among those of unrelated examples.

    Args:
        divergence: maps two predictions, shapes (n, C), to one number an example, low where they agree.
        a: of n ≥ 2 examples.
        b: of the same.
        orders: of the second one's examples, shape (s, n), for the null.

    Examples:
        >>> import torch
        >>> squared = lambda p, q: (p - q).square().sum(1)
        >>> found = paired_mean(squared, torch.eye(2), torch.eye(2), torch.tensor([[1, 0]]))
        >>> found.value, found.chance.chance
        (0.0, 2.0)
    """
    value, stderr = mean_and_error(divergence(a, b))
    by_chance = torch.tensor([float(divergence(a, b[order]).mean()) for order in orders], dtype=torch.float64)
    return Reading(value, stderr, below_chance(value, by_chance))
