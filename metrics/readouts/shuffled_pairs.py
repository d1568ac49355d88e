"""The mean divergence of two predictions of the same examples, against examples in random order."""

from collections.abc import Callable

import torch
from torch import Tensor

from metrics.readouts.reading import Reading, below_chance, mean_and_error

# Of shuffled predictions that are held at a time.
_MOST_NUMBERS = 2**20


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
    at_once = torch.split(orders, max(1, _MOST_NUMBERS // a.numel()))
    by_chance = [divergence(a.repeat(len(some), 1), b[some.flatten()]).view(len(some), -1).mean(1) for some in at_once]
    return Reading(value, stderr, below_chance(value, torch.cat(by_chance).double()))
