"""Representational similarity analysis: whether two representations order the pairs of examples alike."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import torch
from torch import Tensor

from metrics.base import Facts
from metrics.compare.base import Pairs
from metrics.compare.measures.pairwise import NotComparable, PairwiseComparison
from metrics.compare.products.centred import Centred

MOST_ROWS = 2000
_AT_ONCE = 16


@dataclass(frozen=True)
class RankedDistances:
    """The distances of all M = N(N − 1)/2 pairs of rows, by rank.

    Attributes:
        ranks: shape (M,), float32, in the order of the upper triangle; centred, ties share their mean rank.
        order: the places of the pairs of rows by ascending rank, shape (M,).
        examples: n, the number of examples that the rows belong to.
        rows: N.
    """

    ranks: Tensor
    order: Tensor
    examples: int
    rows: int

    @property
    def norm(self) -> float:
        """The root of the sum of squared ranks."""
        return math.sqrt(float(self.ranks.square().sum(dtype=torch.float64)))

    def table(self) -> Tensor:
        """Return the ranks as a symmetric N × N matrix with zero diagonal, flattened."""
        found = torch.zeros(self.rows, self.rows)
        first, second = torch.triu_indices(self.rows, self.rows, 1)
        found[first, second] = found[second, first] = self.ranks
        return found.flatten()


class RSA(PairwiseComparison[RankedDistances]):
    """Representational similarity ``rsa``: Spearman's correlation of the distances between examples in X and in Y.

    The dissimilarity of two examples is the Euclidean distance of their representations (squared or not has the same
    ranks). Correlation distance, the other usual choice, depends on what the units happen to be and changes under
    rotations. It is unchanged by rotations, scalings and translations of either side; 0 in expectation for independent
    representations.

    Needs 6 N² bytes of memory a representation; at most 2,000 rows.

    Standard errors: infinitesimal jackknife over examples, ranks included. With U and V the centred ranks, divided by
    M, of the pair (i, j) in X and Y, a(u) = E[V; U > u] and b(v) = E[U; V > v]: example i pulls the value by
    2 (m_i − mean m) / √(E U² E V²), m_i the mean over j of UV + a(U) + b(V). Null: random permutations of the second
    side's examples.

    References:
        Kriegeskorte, Mur & Bandettini 2008, Representational Similarity Analysis, doi:10.3389/neuro.06.004.2008; Nili
        et al. 2014, A Toolbox for Representational Similarity Analysis, doi:10.1371/journal.pcbi.1003553.
    """

    facts = (
        Facts(
            "rsa", "1", -1.0, 1.0, "higher", "Kriegeskorte et al. 2008, doi:10.3389/neuro.06.004.2008",
            symmetric=True, cost="pass", minimum_n=4,
        ),
    )  # fmt: skip
    is_similarity = True
    variant = "euclidean, spearman"

    def prepare(self, features: Tensor, item: Centred) -> RankedDistances:
        """Return the ranks of the distances."""
        rows = len(item.rows)
        if rows > MOST_ROWS:
            raise NotComparable(f"distances of {rows} rows are too many, at most {MOST_ROWS}; lower probe.size")
        ranks, order = centred_ranks(squared_distances(item.rows)[tuple(torch.triu_indices(rows, rows, 1))])
        if not bool(ranks.any()):
            raise NotComparable("all examples are equally far from each other")
        return RankedDistances(ranks, order, item.examples, rows)

    def value(self, a: RankedDistances, b: RankedDistances) -> tuple[float, float]:
        """Return the rank correlation and its standard error."""
        value = float(a.ranks.double() @ b.ranks.double()) / (a.norm * b.norm)
        return max(-1.0, min(value, 1.0)), _standard_error(a, b)

    def shuffled_pairs(self, items: Mapping[int, RankedDistances], pairs: Pairs, orders: Tensor) -> list[np.ndarray]:
        """Return every pair's values with the second side's examples in other orders.

        Where a permutation puts each pair of rows is found once for many representations.
        """
        partners: dict[int, list[int]] = {}
        for index, (_, second) in enumerate(pairs):
            partners.setdefault(second, []).append(index)
        scales = np.array([items[a].norm * items[b].norm for a, b in pairs])
        found = np.empty((len(pairs), len(orders)))
        for seconds in _batches(items, sorted(partners)):
            tables = {second: items[second].table() for second in seconds}
            for column, places in enumerate(_moved(items[seconds[0]], orders)):
                for second, table in tables.items():
                    moved, indices = table.index_select(0, places), partners[second]
                    found[indices, column] = [float(items[pairs[index][0]].ranks @ moved) for index in indices]
        return list(found / scales[:, None])


def squared_distances(rows: Tensor) -> Tensor:
    """Return ‖x_i − x_j‖² of all pairs of rows, shape (N, N); 0 where rounding errors are all there is.

    Args:
        rows: shape (N, units), float64, ‖X‖_F² = N and centred, so that no large mean is left to cancel.

    Examples:
        >>> import torch
        >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)).tolist()
        [[0.0, 25.0], [25.0, 0.0]]
    """
    squares = rows.square().sum(1)
    found = squares[:, None] + squares - 2 * rows @ rows.T
    return found.where(found > 1e-12, 0.0)


def centred_ranks(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return ranks minus their mean, ties sharing their mean rank, and the places of the values in ascending order.

    Args:
        values: shape (M,), M < 2^23, so that half-integers are exact in float32.

    Examples:
        >>> import torch
        >>> centred_ranks(torch.tensor([10.0, 30.0, 20.0]))[0].tolist()
        [-1.0, 1.0, 0.0]
    """
    order = np.argsort(values.numpy())
    ascending = values.numpy()[order]
    group = np.concatenate([[0], np.cumsum(ascending[1:] != ascending[:-1])])
    sizes = np.bincount(group)
    ranks = np.empty(len(order), dtype=np.float32)
    ranks[order] = (np.cumsum(sizes) - (sizes - 1) / 2 - (len(order) + 1) / 2)[group]
    return torch.from_numpy(ranks), torch.from_numpy(order)


def _standard_error(a: RankedDistances, b: RankedDistances) -> float:
    """Return the infinitesimal jackknife's standard error of the rank correlation over examples."""
    count = len(a.ranks)
    u, v = a.ranks.double() / count, b.ranks.double() / count
    pull: Tensor = u * v + _mean_above(v, a.order) + _mean_above(u, b.order)
    first, second = torch.triu_indices(a.rows, a.rows, 1)
    sums = torch.zeros(a.rows, dtype=torch.float64).index_add_(0, first, pull).index_add_(0, second, pull)
    means = sums.reshape(a.examples, -1).mean(1) / (a.rows - 1)
    scale = a.norm * b.norm / count**3
    return 2 * math.sqrt(float(means.var()) / a.examples) / scale


def _mean_above(values: Tensor, order: Tensor) -> Tensor:
    """Return E[V; U > u_p] at every u_p, shape (M,), from V and the order of U; the pair itself counts half."""
    ascending = values[order]
    sums = ascending.flip(0).cumsum(0).flip(0) - ascending / 2
    return torch.empty_like(sums).scatter_(0, order, sums / len(sums))


def _batches(items: Mapping[int, RankedDistances], places: Sequence[int]) -> Iterator[list[int]]:
    """Yield places of representations with equally many rows, a few at a time."""
    for _, group in groupby(sorted(places, key=lambda place: items[place].rows), key=lambda place: items[place].rows):
        while some := list(islice(group, _AT_ONCE)):
            yield some


def _moved(item: RankedDistances, orders: Tensor) -> Iterator[Tensor]:
    """Yield, for every order of examples, the places of the pairs of rows in the flattened N × N matrix, shape (M,)."""
    first, second = torch.triu_indices(item.rows, item.rows, 1)
    by_example = torch.arange(item.rows).reshape(item.examples, -1)
    for order in orders:
        rows = by_example[order].flatten()
        yield rows[first] * item.rows + rows[second]
