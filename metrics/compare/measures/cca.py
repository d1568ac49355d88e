"""Canonical correlations of two representations, averaged: SVCCA and projection-weighted CCA."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from metrics.base import Facts
from metrics.compare.measures.pairwise import NotComparable, PairwiseComparison
from metrics.compare.products.centred import Centred
from metrics.compare.products.cross_products import shuffled_norms, shuffled_products
from metrics.compare.products.principal import directions, principal


@dataclass(frozen=True)
class Directions:
    """The directions of one representation that correlations are taken of.

    Attributes:
        item: orthonormal scores of all its directions, most variance first, shape (N, r).
        directions: how many of them are kept.
    """

    item: Centred
    directions: int

    def first(self, directions: int) -> Centred:
        """Return the scores of the first directions."""
        return replace(self.item, rows=self.item.rows[:, :directions])


class SVCCA(PairwiseComparison[Directions]):
    """Singular vector CCA ``svcca``: the mean canonical correlation of the directions with most of the variance.

    Of each representation the fewest principal directions are kept that hold a share ``variance`` of it, p and q of
    them with orthonormal scores X and Y: svcca = ‖XᵀY‖_* / min(p, q), in [0, 1]. It is unchanged by rotations, scalings
    and translations, and by all linear maps of what is kept.

    With N ≤ p + q rows at least one correlation is 1 whatever the data are: such pairs have no value. With few more
    rows, chance alone is large: see ``chance``.

    Standard errors: random halves of the examples. Where the value jumps because samples differ in the number of
    directions that hold the share of the variance (a direction begins near the share, and the correlations of few
    directions are averaged), there is none. Null: random permutations of the second side's examples.

    Args:
        variance: share of the variance that is kept, in (0, 1].

    References:
        Raghu et al. 2017, SVCCA, arXiv 1706.05806.
    """

    facts = (
        Facts(
            "svcca", "1", 0.0, 1.0, "higher", "Raghu et al. 2017, SVCCA, arXiv 1706.05806",
            symmetric=True, cost="pass", minimum_n=4,
        ),
    )  # fmt: skip
    is_similarity = True

    def __init__(self, variance: float = 0.99) -> None:
        if not 0 < variance <= 1:
            raise ValueError(f"variance must be in (0, 1], got {variance!r}")
        self.share = float(variance)
        self.variant = f"variance={self.share:g}"

    def unbiased_from(self, units: int) -> int:
        """Return :func:`correlations_unbiased_from`."""
        return correlations_unbiased_from(units)

    def prepare(self, features: Tensor, item: Centred) -> Directions:
        """Return the orthonormal scores of all directions, and how many of them are kept."""
        return _orthonormal(item, self.share)

    def value(self, a: Directions, b: Directions) -> tuple[float, None]:
        """Return the mean canonical correlation."""
        return self.value_with(a, b, self.choices(a, b)), None

    def choices(self, a: Directions, b: Directions) -> tuple[int, ...]:
        """Return how many directions of either side are kept."""
        return a.directions, b.directions

    def value_with(self, a: Directions, b: Directions, choices: tuple[int, ...]) -> float:
        """Return the mean canonical correlation of other numbers of directions."""
        first, second = a.first(choices[0]), b.first(choices[1])
        _check_rows(first, second)
        return min(float(torch.linalg.svdvals(first.rows.T @ second.rows).mean()), 1.0)

    def shuffled(self, a: Directions, b: Directions, orders: Tensor) -> np.ndarray:
        """Return the values with the second side's examples in other orders."""
        return shuffled_norms(a.first(a.directions), b.first(b.directions), orders) / min(self.choices(a, b))


@dataclass(frozen=True)
class Weighted:
    """What projection weighting needs of one representation.

    Attributes:
        item: orthonormal scores Q of all its directions, shape (N, p).
        loadings: XᵀQ of its units, shape (units, p).
    """

    item: Centred
    loadings: Tensor


class PWCCA(PairwiseComparison[Weighted]):
    """Projection-weighted CCA ``pwcca``: canonical correlations weighted by how much of a layer they account for.

    With canonical correlations ρ_i, unit canonical variates h_i of X, and x_j its centred units: Σ α_i ρ_i / Σ α_i
    with α_i = Σ_j |⟨h_i, x_j⟩|. The original weights by one of the two sides; this is the mean of both weightings,
    which is symmetric. All directions are used (those above 1e-10 of the largest variance). It is unchanged by
    permutations of the units, scalings and translations; rotations of the units change the weights.

    With N ≤ p + q rows at least one correlation is 1 whatever the data are: such pairs have no value.

    Standard errors: random halves of the examples. Null: random permutations of the second side's examples.

    References:
        Morcos, Raghu & Bengio 2018, Insights on Representational Similarity in Neural Networks with Canonical
        Correlation, arXiv 1806.05759.
    """

    facts = (
        Facts(
            "pwcca", "1", 0.0, 1.0, "higher", "Morcos, Raghu & Bengio 2018, arXiv 1806.05759",
            symmetric=True, cost="pass", minimum_n=4,
        ),
    )  # fmt: skip
    is_similarity = True

    def unbiased_from(self, units: int) -> int:
        """Return :func:`correlations_unbiased_from`."""
        return correlations_unbiased_from(units)

    def prepare(self, features: Tensor, item: Centred) -> Weighted:
        """Return orthonormal scores of all directions, and the units' products with them."""
        found = _orthonormal(item, 1.0).item
        return Weighted(found, item.rows.T @ found.rows)

    def value(self, a: Weighted, b: Weighted) -> tuple[float, None]:
        """Return the mean of both sides' weighted correlations."""
        _check_rows(a.item, b.item)
        left, correlations, right = torch.linalg.svd(a.item.rows.T @ b.item.rows, full_matrices=False)
        return min(float(_weighted(a, b, left, correlations, right.mT)), 1.0), None

    def shuffled(self, a: Weighted, b: Weighted, orders: Tensor) -> np.ndarray:
        """Return the values with the second side's examples in other orders."""
        found = []
        for products in shuffled_products(a.item, b.item, orders):
            left, correlations, right = _singular_triplets(products)
            found.append(_weighted(a, b, left, correlations, right))
        return torch.cat(found).double().numpy()


def correlations_unbiased_from(units: int) -> int:
    """Return from about how many examples on the mean of d canonical correlations has a bias below its standard error.

    From n examples each correlation is too large by about d / n, and their mean has a standard error of about
    1 / √(n d): d³. Samples of 32 units, correlated by 0.39 on average, gave 0.46 with 300 examples and 0.41 with 1,000:
    a bias of 14 and of 5 standard errors.

    Args:
        units: d, of the wider layer.
    """
    return units**3


def _orthonormal(item: Centred, share: float) -> Directions:
    """Return orthonormal scores, and how many principal directions at least hold a share of the variance."""
    scores, squares = principal(item.rows)
    held = squares.cumsum(0) / squares.sum()
    enough, all_of_them = int((held < share).sum()) + 1, directions(squares)
    rows = scores[:, :all_of_them] / squares[:all_of_them].sqrt()
    return Directions(replace(item, rows=rows), min(enough, all_of_them))


def _check_rows(a: Centred, b: Centred) -> None:
    rows, first, second = len(a.rows), a.rows.shape[1], b.rows.shape[1]
    if rows <= first + second:
        raise NotComparable(
            f"correlations of {first} and {second} directions need more than {first + second} probe examples, got "
            f"{rows}"
        )


def _weighted(a: Weighted, b: Weighted, left: Tensor, correlations: Tensor, right: Tensor) -> Tensor:
    """Return the mean of both weightings of correlations (…, m), given their directions (…, p, m) and (…, q, m)."""
    sides = []
    for item, variates in ((a, left), (b, right)):
        weights = (item.loadings.to(variates.dtype) @ variates).abs().sum(-2)
        sides.append((weights * correlations).sum(-1) / weights.sum(-1))
    return (sides[0] + sides[1]) / 2


def _singular_triplets(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U, singular values and V of many matrices (k, p, q) by eigenvectors: half the cost, for comparisons."""
    if matrices.shape[1] > matrices.shape[2]:
        right, singular, left = _singular_triplets(matrices.mT)
        return left, singular, right
    left = torch.linalg.eigh(matrices @ matrices.mT).eigenvectors
    right = matrices.mT @ left
    singular = torch.linalg.vector_norm(right, dim=1)
    return left, singular, right / singular.clamp(min=torch.finfo(matrices.dtype).tiny)[:, None]
