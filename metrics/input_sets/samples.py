"""Samples of the data space: at random within strata, or on a regular grid. They have no ground truth."""

import itertools

import torch
from torch import Tensor

from fedlayers.core.seeding import torch_generator
from metrics.array_arguments import Array
from metrics.input_sets.space import DataSpace

DIMENSIONS = 8


def stratified_sample(records: Array, count: int, seed: int = 0, dimensions: int = DIMENSIONS) -> Tensor:
    """Return records at random from everywhere in the space that a client's records span: a Latin hypercube.

    The box along the principal directions (:class:`metrics.input_sets.space.DataSpace`) is cut into ``count`` slices of
    the same width along each direction; every slice of every direction holds just one sample, at random within it. They
    have no ground truth: nobody labelled them.

    Args:
        records: a client's, shape (n, *shape), n ≥ 2, finite.
        count: how many samples, 1 or more.
        seed: decides on the samples.
        dimensions: how many principal directions vary; along the others samples are as the mean is.

    Returns:
        Shape (count, *shape), float64.

    Raises:
        ValueError: the records span no space, or a number is below 1.

    References:
        McKay, Beckman & Conover 1979, A comparison of three methods for selecting values of input variables,
        Technometrics 21 (Latin hypercubes).

    Examples:
        >>> import torch
        >>> records = torch.tensor([[0.0, 5.0], [8.0, 5.0]])
        >>> sorted((stratified_sample(records, 4)[:, 0] // 2).tolist())
        [0.0, 1.0, 2.0, 3.0]
    """
    space = DataSpace.of(records, dimensions)
    _check_count(count)
    generator = torch_generator(seed, "stratified sample")
    size = len(space.directions)
    slices = torch.stack([torch.randperm(count, generator=generator) for _ in range(size)], 1)
    within = torch.rand(count, size, generator=generator, dtype=torch.float64)
    return space.records((slices + within) / count)


def systematic_sample(records: Array, count: int, dimensions: int = DIMENSIONS) -> Tensor:
    """Return records on a regular grid in the space that a client's records span; nothing about it is random.

    The grid has as many points along each principal direction as fit: ⌊count^(1/r)⌋ along each of r directions, r the
    largest number, up to ``dimensions``, for which that is 2 or more; then one more along the first ones while the grid
    stays within ``count``. Points are in the middle of their cells. They have no ground truth: nobody labelled them.

    Args:
        records: a client's, shape (n, *shape), n ≥ 2, finite.
        count: the most samples, 1 or more.
        dimensions: the most principal directions that vary; along the others samples are as the mean is.

    Returns:
        Shape (m, *shape), float64, m ≤ count.

    Raises:
        ValueError: the records span no space, or a number is below 1.

    Examples:
        >>> import torch
        >>> records = torch.tensor([[0.0, 5.0], [8.0, 5.0]])
        >>> systematic_sample(records, 4)[:, 0].round(decimals=2).tolist()
        [1.06, 3.02, 4.98, 6.94]
    """
    space = DataSpace.of(records, dimensions)
    _check_count(count)
    sizes = _grid(count, len(space.directions))
    axes = [(torch.arange(size, dtype=torch.float64) + 0.5) / size for size in sizes]
    points = torch.tensor(list(itertools.product(*(axis.tolist() for axis in axes))), dtype=torch.float64)
    middle = torch.full((len(points), len(space.directions) - len(sizes)), 0.5, dtype=torch.float64)
    return space.records(torch.cat([points, middle], 1))


def _grid(count: int, directions: int) -> list[int]:
    """Return how many points a grid has along each of its directions."""
    used = max(1, min(directions, count.bit_length() - 1))
    side = 1
    while (side + 1) ** used <= count:
        side += 1
    sizes = [side] * used
    for place in range(used):
        grown = [*sizes[:place], side + 1, *sizes[place + 1 :]]
        if torch.tensor(grown).prod() <= count:
            sizes = grown
    return sizes


def _check_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
