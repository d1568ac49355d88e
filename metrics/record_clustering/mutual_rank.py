"""How near records are to each other, counted in the records that are nearer: the mutual rank."""

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor

# Numbers in a block of distances: 16 MB.
_BLOCK = 2**21
# Squared distances that differ by less than this part of them, or of the squared norms, are one: rounding.
_TIE = 1e-10


def mutual_rank(context: Array, chosen: Array | None = None) -> Tensor:
    """Return the mutual rank of pairs of records: 0 for a record and itself or a copy, small among nearest neighbours.

    r_ij = |{k : d_ik < d_ij}| is how many records of the whole context are nearer to i than j is; the mutual rank is
    r_ij r_ji. It is a dissimilarity, no metric: the same distance counts for much where records are dense and for
    little where they are sparse. Euclidean distances d, float64; equal ones count as equal, whatever their rounding, so
    that the order of the records does not matter. Blocks of rows are ranked one after the other: beside the result,
    4 m² bytes, that takes 4 m² bytes of memory and a little.

    Args:
        context: all records, shape (n, d); finite.
        chosen: positions of the m records between which ranks are wanted, shape (m,); None for all.

    Returns:
        Shape (m, m), int64 where a product could be 2³¹ or more (46,341 records and more), else int32; symmetric.

    Raises:
        ValueError: the records are no matrix, or not finite.

    References:
        Obayashi & Kinoshita 2009, Rank of correlation coefficient as a comparable measure for biological significance
        of gene coexpression, DNA Research 16 (the root of it); Wang et al. 2022, HetVis, arXiv 2208.07491.

    Examples:
        >>> import numpy as np
        >>> mutual_rank(np.array([[0.0], [1.0], [5.0], [5.5]])).tolist()
        [[0, 1, 6, 9], [1, 0, 4, 6], [6, 4, 0, 1], [9, 6, 1, 0]]
    """
    rows = as_tensor(context, "context").double()
    if rows.ndim != 2 or not len(rows):
        raise ValueError(f"context must have shape (records, features), got {tuple(rows.shape)}")
    if not bool(rows.isfinite().all()):
        raise ValueError("context must be finite, got NaN or infinity")
    everything = torch.arange(len(rows), device=rows.device)
    places = everything if chosen is None else as_tensor(chosen, "chosen").long().to(rows.device)
    # Distances come of inner products, which keep more digits about the mean.
    rows = rows - rows.mean(0)
    squares = rows.square().sum(1)
    kind = torch.int32 if len(rows) <= 46340 else torch.int64
    ranks = torch.empty(len(places), len(places), dtype=kind, device=rows.device)
    size = max(_BLOCK // len(rows), 1)
    for start in range(0, len(places), size):
        own = places[start : start + size]
        norms = squares[own, None] + squares
        distances = torch.addmm(norms, rows[own], rows.T, alpha=-2)
        distances.masked_fill_(distances <= norms.mul_(_TIE), 0.0)
        ranks[start : start + size] = _ranks(distances)[:, places].to(kind)
    return _with_transpose(ranks, size)


def _ranks(distances: Tensor) -> Tensor:
    """Return how many of a row's values are below each, equal ones, to rounding, being at the same place."""
    values, order = distances.sort(1)
    starts = torch.arange(values.shape[1], dtype=torch.int32, device=values.device).repeat(len(values), 1)
    starts[:, 1:] *= values[:, 1:] * (1 - _TIE) > values[:, :-1]
    return torch.empty_like(starts).scatter_(1, order, starts.cummax(1).values)


def _with_transpose(ranks: Tensor, size: int) -> Tensor:
    """Return r_ij r_ji."""
    found = torch.empty_like(ranks)
    for start in range(0, len(ranks), size):
        torch.mul(ranks[start : start + size], ranks[:, start : start + size].T, out=found[start : start + size])
    return found
