"""Linear CKA: the cosine of the angle between two centred Gram matrices."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from metrics.base import Facts
from metrics.compare.base import Compared, Comparison, Pairs
from metrics.compare.chance.permutation_null import SMALLEST_P, Cubes, cubes, null_band, null_deviation, skewness
from metrics.compare.chance.permutations import example_permutations, sampled_null
from metrics.compare.products.centred import Centred, centred, pair_reason
from metrics.compare.products.gram_products import gram_products, row_products
from metrics.compare.products.pair_groups import pair_groups

ESTIMATORS = ("debiased", "biased")
_KORNBLITH = "Kornblith et al. 2019, Similarity of Neural Network Representations Revisited, arXiv 1905.00414"
_WILLIAMS = "Williams et al. 2021, Generalized Shape Metrics on Neural Representations, arXiv 2110.14739"


class CKA(Comparison):
    """Linear centred kernel alignment of representations X and Y with Gram matrices K and L.

    - ``cka``: ⟨A, B⟩ / √(⟨A, A⟩⟨B, B⟩). Biased: A = HKH with H the centring matrix, in [0, 1], and close to 1 by chance
      if there are fewer examples than units. Debiased: A the U-centred Gram matrix, so that the numerator is an
      unbiased estimate of HSIC; a cosine in [−1, 1], 0 in expectation for independent representations.
    - ``cka_distance``: arccos of it, in radians.

    Both are unchanged by rotations, translations and scalings of either representation, not by other linear maps.

    Standard errors: infinitesimal jackknife over examples (rows of one example together). Null: debiased, the exact
    first three moments over all permutations of one side's examples (:mod:`metrics.compare.chance.permutation_null`);
    biased, or with positions as samples, random permutations. p values are not given below 1e-6. ``chance`` and
    ``chance_hi`` of the distance are the angles of those of ``cka``.

    Args:
        estimator: ``debiased`` or ``biased``.

    References:
        Kornblith et al. 2019, arXiv 1905.00414; Song et al. 2012, JMLR 13 (HSIC_1); Murphy et al. 2024, Correcting
        Biased Centered Kernel Alignment Measures, arXiv 2405.01012.
    """

    facts = (
        Facts("cka", "1", -1.0, 1.0, "higher", _KORNBLITH, symmetric=True, cost="pass", minimum_n=4),
        Facts("cka_distance", "rad", 0.0, np.pi, "lower", _WILLIAMS, symmetric=True, cost="pass", minimum_n=4),
    )

    def __init__(self, estimator: str = "debiased") -> None:
        if estimator not in ESTIMATORS:
            raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
        self.debiased, self.variant = estimator == "debiased", estimator

    def compare(
        self, representations: Sequence[Tensor], pairs: Pairs, permutations: int, seed: int
    ) -> Sequence[Compared]:
        """Return ``cka`` and ``cka_distance`` of pairs; see :class:`metrics.compare.base.Comparison`."""
        table, reasons, minibatches = _Table.empty(len(pairs)), dict[int, str](), False
        known: dict[int, Cubes] = {}
        for group in self._groups(representations, pairs, reasons):
            null = self._null(group, permutations, seed, known)
            table.fill(group.places, group.values, group.errors, *null)
            minibatches |= group.minibatches
        return table.columns(self._named(minibatches), reasons)

    def values(self, representations: Sequence[Tensor], pairs: Pairs) -> Compared:
        """Return ``cka`` of pairs with standard errors, without the null band; see :meth:`compare`."""
        (value, stderr), reasons, minibatches = np.full((2, len(pairs)), np.nan), dict[int, str](), False
        for group in self._groups(representations, pairs, reasons):
            value[group.places], stderr[group.places] = group.values, group.errors
            minibatches |= group.minibatches
        return Compared("cka", self._named(minibatches), value, stderr, reasons=reasons)

    def compare_sketches(self, sketches: Sequence[Tensor], pairs: Pairs) -> Sequence[Compared] | None:
        """Return both quantities from :func:`metrics.compare.products.gram_sketch.gram_sketch`; nothing if biased.

        The standard error is the sketch's own (delta method over its numbers), for these examples; the null band is
        that of independent representations, in which the sketch's error is all that counts.
        """
        if not self.debiased:
            return None
        stacked = torch.stack(list(sketches)).double()
        parts = torch.stack([stacked[a] * stacked[b] for a, b in pairs])
        values, errors = _cosines(stacked.square(), parts, pairs, order=1)
        constant = np.flatnonzero(~np.isfinite(values)).tolist()
        reasons = dict.fromkeys(constant, "a representation is the same for all examples")
        table, width = _Table.empty(len(pairs)), stacked.shape[1]
        deviation = width**-0.5
        p = np.maximum(ndtr(-values / deviation), SMALLEST_P)
        high = np.full(len(pairs), ndtri(0.95) * deviation)
        table.fill(list(range(len(pairs))), values, errors, np.zeros(len(pairs)), high, p)
        return table.columns(f"debiased, sketch of {width}", reasons)

    def _groups(self, representations: Sequence[Tensor], pairs: Pairs, reasons: dict[int, str]) -> Iterator["_Group"]:
        """Yield the pairs that can be compared with their values, one group in memory at a time.

        Args:
            representations: see :meth:`compare`.
            pairs: likewise.
            reasons: filled in with why the others cannot be compared.
        """
        rows = max((math.prod(representations[place].shape[:-1]) for pair in pairs for place in pair), default=0)
        for places in pair_groups(pairs, rows):
            sides = sorted({place for index in places for place in pairs[index]})
            items = {place: centred(representations[place]) for place in sides}
            why = {index: pair_reason(*(items[place] for place in pairs[index])) for index in places}
            reasons |= {index: reason for index, reason in why.items() if reason}
            comparable = [index for index in places if not why[index]]
            for indices in _by_rows(items, pairs, comparable).values():
                used = sorted({place for index in indices for place in pairs[index]})
                place_of = {place: new for new, place in enumerate(used)}
                chosen = [(place_of[pairs[index][0]], place_of[pairs[index][1]]) for index in indices]
                own = [items[place] for place in used]
                products = gram_products(own, chosen, self.debiased)
                values, errors = _cosines(products.own, products.pair, chosen)
                yield _Group(indices, used, own, chosen, values, errors, products.minibatches)

    def _named(self, minibatches: bool) -> str:
        return f"{self.variant}, minibatches" if minibatches else self.variant

    def _null(
        self, group: "_Group", permutations: int, seed: int, known: dict[int, Cubes]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, 95 % quantile and p value of what chance alone produces; ``known`` are items of other groups."""
        items, pairs, values = group.items, group.pairs, group.values
        examples = items[0].examples
        if self.debiased and len(items[0].rows) == examples and examples >= 6:
            known |= {place: cubes(item) for place, item in zip(group.used, items, strict=True) if place not in known}
            found = [known[place] for place in group.used]
            skews = skewness([found[a] for a, _ in pairs], [found[b] for _, b in pairs], examples)
            high, p = null_band(values, skews, null_deviation(examples))
            return np.zeros(len(pairs)), high, p
        orders = example_permutations(examples, permutations, seed)
        own = [float(row_products(item, item, self.debiased).sum()) for item in items]

        def shuffled(pair: tuple[int, int]) -> np.ndarray:
            a, b = items[pair[0]], items[pair[1]]
            scale = (own[pair[0]] * own[pair[1]]) ** 0.5
            return np.array(
                [float(row_products(a, b.shuffled(order), self.debiased).sum()) / scale for order in orders]
            )

        return sampled_null([shuffled(pair) for pair in pairs], values, upper=True)


@dataclass(frozen=True)
class _Group:
    """Pairs of representations with equally many rows: their places, their two sides among the items, their values.

    ``used`` are the items' places among the representations.
    """

    places: list[int]
    used: list[int]
    items: list[Centred]
    pairs: list[tuple[int, int]]
    values: np.ndarray
    errors: np.ndarray
    minibatches: bool


@dataclass(frozen=True)
class _Table:
    """Columns over pairs, filled group by group."""

    value: np.ndarray
    stderr: np.ndarray
    chance: np.ndarray
    chance_hi: np.ndarray
    p: np.ndarray

    @classmethod
    def empty(cls, pairs: int) -> "_Table":
        return cls(*(np.full(pairs, np.nan) for _ in range(5)))

    def fill(self, indices: Sequence[int], *columns: np.ndarray) -> None:
        targets = (self.value, self.stderr, self.chance, self.chance_hi, self.p)
        for target, column in zip(targets, columns, strict=True):
            target[list(indices)] = column

    def columns(self, variant: str, reasons: dict[int, str]) -> list[Compared]:
        """Return the cosine and its angle, whose standard error follows by the delta method."""
        angle, null, high = (_angle(values) for values in (self.value, self.chance, self.chance_hi))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = self.stderr / np.sqrt(np.clip(1 - self.value**2, 0, None))
        return [
            Compared("cka", variant, self.value, self.stderr, self.chance, self.chance_hi, self.p, reasons),
            Compared("cka_distance", variant, angle, slope, null, high, self.p, reasons),
        ]


def _angle(cosines: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.arccos(np.clip(cosines, -1.0, 1.0))
    return found


def _by_rows(items: Mapping[int, Centred], pairs: Pairs, indices: Sequence[int]) -> dict[int, list[int]]:
    """Return the places of comparable pairs, grouped by their number of rows."""
    groups: dict[int, list[int]] = {}
    for index in indices:
        groups.setdefault(len(items[pairs[index][0]].rows), []).append(index)
    return groups


def _cosines(own: Tensor, pair: Tensor, pairs: Pairs, order: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and their standard errors from products by example.

    With θ = P/√(QR) and P = Σ P_i: the influence of example i is order · θ (P_i/P − Q_i/2Q − R_i/2R), where ``order``
    is the number of examples in one term of P (two in a Gram matrix's).

    Args:
        own: Q of every item by example, shape (items, n).
        pair: P of every pair by example, shape (m, n).
        pairs: places in ``own``.
        order: 1 or 2.
    """
    first, second = (torch.tensor([one[side] for one in pairs], dtype=torch.long) for side in (0, 1))
    sums = own.sum(1)
    scale = (sums[first] * sums[second]).sqrt()
    cosine = (pair.sum(1) / scale).clamp(-1, 1)
    shares = own / sums[:, None]
    influence = order * (pair / scale[:, None] - cosine[:, None] * (shares[first] + shares[second]) / 2)
    return cosine.numpy(), influence.square().sum(1).sqrt().numpy()
