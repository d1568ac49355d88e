"""Null bands from random permutations of one side's examples, for measures without a closed form."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.seeding import torch_generator
from metrics.statistics.chance_quantile import chance_quantile


def example_permutations(examples: int, permutations: int, seed: int) -> Tensor:
    """Return random orders of the examples, shape (permutations, examples), the same for every pair."""
    generator = torch_generator(seed, f"permutations/{examples}")
    orders = [torch.randperm(examples, generator=generator) for _ in range(permutations)]
    return torch.stack(orders) if orders else torch.empty(0, examples, dtype=torch.long)


def sampled_null(
    shuffled: Sequence[np.ndarray], values: np.ndarray, upper: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, end of the band towards agreement, and p value of every pair; NaN without permutations.

    p = (1 + the number of shuffled values at least as much in agreement) / (1 + the number of shuffled values). The
    band ends where a further shuffled value passes with probability 0.05, see
    :func:`metrics.statistics.chance_quantile.chance_quantile`; NaN with fewer than 19 permutations.

    Args:
        shuffled: for every pair its values after permuting, shape (permutations,).
        values: the observed values, shape (m,).
        upper: whether large values mean agreement (a similarity: 95 % quantile) or small ones (a distance: 5 %).

    References:
        Phipson & Smyth 2010, Permutation P-values Should Never Be Zero, arXiv 1603.05766.

    Examples:
        >>> import numpy as np
        >>> shuffled = [np.arange(99) / 100]
        >>> mean, end, p = sampled_null(shuffled, np.array([0.9]), upper=True)
        >>> mean.round(2).tolist(), end.round(2).tolist(), p.round(2).tolist()
        ([0.49], [0.94], [0.1])
    """
    if not shuffled or not len(shuffled[0]):
        nothing = np.full(len(values), np.nan)
        return nothing, nothing, nothing
    table = np.stack(shuffled)
    agree = table >= values[:, None] if upper else table <= values[:, None]
    p = (1 + agree.sum(1)) / (1 + table.shape[1])
    return table.mean(1), chance_quantile(table, upper), np.where(np.isfinite(values), p, np.nan)
