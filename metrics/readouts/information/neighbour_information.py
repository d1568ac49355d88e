"""Mutual information of two continuous variables from the distances of nearest neighbours."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from metrics.geometry.chance import against_chance
from metrics.readouts.reading import Reading
from metrics.statistics.jackknife import jackknife_error

_NEIGHBOURS = 3
# Examples at a time: their distances to all others stay in the processor's cache.
_ROWS = 64
_BLOCKS, _FEWEST_FOR_ERROR = 10, 20


def neighbour_information(x: Tensor, y: Tensor, orders: Tensor) -> Reading:
    """Return an estimate of I(X; Y) in nats, its standard error, and what it is for unrelated examples.

    The first estimator of Kraskov, Stögbauer and Grassberger: with ε_i the distance of example i to its k-th nearest
    neighbour in the joint space (the larger of the distances in X and in Y, k = 3), n_x and n_y the numbers of others
    that are nearer than ε_i in X and in Y alone,

        I = ψ(k) + ψ(n) − ⟨ψ(n_x + 1) + ψ(n_y + 1)⟩.

    The errors of its entropies cancel: its expectation is 0 for independent variables, whatever their distributions,
    and it may come out below 0. Strong dependence it cannot resolve: it saturates below ψ(n), and is low before that,
    the more so the more dimensions there are; of 1,000 pairs of two dimensions each by 3 % at 2.3 nats. So a value
    compares with others of equal n and dimensions.

    Coordinates are rounded to float32, as activations are: which neighbour is nearer is all that counts.

    The error is the jackknife's over ten blocks of examples, and a quarter too large on average: neighbours share their
    neighbours, so that the spread of the terms would be too small.

    Args:
        x: shape (n, a), n ≥ 5, columns of comparable size.
        y: shape (n, b), likewise.
        orders: of y's examples, shape (s, n), for the null.

    References:
        Kraskov, Stögbauer & Grassberger 2004, Estimating mutual information, Physical Review E 69, 066138.

    Examples:
        >>> import torch
        >>> x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
        >>> found = neighbour_information(x, x + 1e-3 * x.square(), torch.arange(500)[None])
        >>> found.value > 3
        True
    """
    own, other = (part.float() for part in (x, y))
    values = _estimates(own, [other, *(other[order] for order in orders)])
    value = float(values[0])
    return Reading(value, _error(value, own, other), against_chance(value, values[1:]))


def _estimates(x: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Return the estimate for every other variable, shape (s,)."""
    n, counted = len(x), []
    for rows in torch.split(torch.arange(n), _ROWS):
        apart = _distances(x, rows)
        counted.append(torch.stack([_digammas(apart, _distances(y, rows)) for y in others]))
    return _ends(n) - torch.cat(counted, 1).mean(1)


def _error(value: float, x: Tensor, y: Tensor) -> float | None:
    """Return the standard error from estimates without each tenth of the examples, None for few."""
    n = len(x)
    if n < _FEWEST_FOR_ERROR:
        return None
    places = torch.arange(n) % _BLOCKS
    kept = [torch.nonzero(places != block).flatten() for block in range(_BLOCKS)]
    sums = torch.zeros(_BLOCKS, dtype=torch.float64)
    for rows in torch.split(torch.arange(n), _ROWS):
        apart_x, apart_y = _distances(x, rows), _distances(y, rows)
        for block, columns in enumerate(kept):
            found = _digammas(apart_x.index_select(1, columns), apart_y.index_select(1, columns))
            sums[block] += found[places[rows] != block].sum()
    sizes = places.bincount()
    ends = torch.stack([_ends(n - int(size)) for size in sizes])
    return jackknife_error(value, ends - sums / (n - sizes), sizes)


def _ends(n: int) -> Tensor:
    """Return ψ(k) + ψ(n)."""
    return torch.tensor([_NEIGHBOURS, n], dtype=torch.float64).digamma().sum()


def _digammas(apart_x: Tensor, apart_y: Tensor) -> Tensor:
    """Return ψ(n_x + 1) + ψ(n_y + 1) of some examples from their distances to others, shape (rows,), float64."""
    within = torch.maximum(apart_x, apart_y).topk(_NEIGHBOURS, 1, largest=False).values[:, -1:]
    counts = [(apart < within).sum(1).double() for apart in (apart_x, apart_y)]
    return (counts[0] + 1).digamma() + (counts[1] + 1).digamma()


def _distances(x: Tensor, rows: Tensor) -> Tensor:
    """Return the largest difference over the columns to every example; nobody is near itself."""
    found = torch.zeros(len(rows), len(x))
    for column in x.T.contiguous():
        torch.maximum(found, (column[rows, None] - column).abs_(), out=found)
    found[torch.arange(len(rows)), rows] = math.inf
    return found
