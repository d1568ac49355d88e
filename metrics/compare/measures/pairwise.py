"""Comparing pair by pair what was prepared item by item."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from metrics.compare.base import Compared, Comparison, Pairs
from metrics.compare.chance.half_samples import half_samples, spread_of_halves, told
from metrics.compare.chance.permutations import example_permutations, sampled_null
from metrics.compare.measures.in_threads import in_threads
from metrics.compare.products.centred import Centred, centred, pair_reason

Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


class NotComparable(ValueError):
    """Why a representation, or two of them, have no value; becomes the reason of the missing values."""


class PairwiseComparison(Comparison, Generic[Prepared]):
    """One quantity of pairs: subclass, implement :meth:`prepare`, :meth:`value` and :meth:`shuffled`.

    Standard errors are those that :meth:`value` gives, or else from random halves of the examples, see
    :func:`metrics.compare.chance.half_samples.spread_of_halves`. The null band is that of random permutations of the
    second side's examples.

    Attributes:
        is_similarity: whether large values mean agreement.
    """

    is_similarity: ClassVar[bool] = False

    def prepare(self, features: Tensor, item: Centred) -> Prepared:
        """Return what all pairs of one representation need of it.

        Args:
            features: the representation as it came.
            item: the same centred, and scaled to ‖X‖_F² = N.

        Raises:
            NotComparable: why it cannot be compared.
        """
        raise NotImplementedError

    def value(self, a: Prepared, b: Prepared) -> tuple[float, float | None]:
        """Return the value of a pair and its standard error; None asks for that of halves, NaN says unknown.

        Raises:
            NotComparable: why there is no value.
        """
        raise NotImplementedError

    def choices(self, a: Prepared, b: Prepared) -> tuple[int, ...]:
        """Return the numbers that a threshold chose for this pair; another sample may choose others."""
        return ()

    def value_with(self, a: Prepared, b: Prepared, choices: tuple[int, ...]) -> float:
        """Return the value of a pair if :meth:`choices` were others."""
        return self.value(a, b)[0]

    def shuffled(self, a: Prepared, b: Prepared, orders: Tensor) -> np.ndarray:
        """Return a pair's values with the second side's examples in other orders (permutations, n)."""
        raise NotImplementedError

    def shuffled_pairs(self, items: Mapping[int, Prepared], pairs: Pairs, orders: Tensor) -> list[np.ndarray]:
        """Return :meth:`shuffled` of every pair, NaN where it cannot be computed."""
        nothing = np.full(len(orders), np.nan)
        tries = in_threads(lambda pair: _attempt(partial(self.shuffled, items[pair[0]], items[pair[1]], orders)), pairs)
        return [nothing if isinstance(found, NotComparable) else found for found in tries]

    def compare(
        self, representations: Sequence[Tensor], pairs: Pairs, permutations: int, seed: int
    ) -> Sequence[Compared]:
        """Return the values of pairs; see :class:`metrics.compare.base.Comparison`."""
        found = self._evaluate(representations, pairs)
        valid = [index for index in range(len(pairs)) if index not in found.reasons]
        unknown = [index for index in valid if index in found.without_error]
        error_reasons = self._fill_errors(representations, pairs, unknown, found) if unknown else {}
        null, high, p = np.full((3, len(pairs)), np.nan)
        if valid and permutations:
            orders = example_permutations(len(representations[0]), permutations, seed)
            shuffled = self.shuffled_pairs(found.items, [pairs[index] for index in valid], orders)
            null[valid], high[valid], p[valid] = self._null(shuffled, found.value[valid])
        name = self.facts[0].name
        return [Compared(name, self.variant, found.value, found.stderr, null, high, p, found.reasons, error_reasons)]

    def values(self, representations: Sequence[Tensor], pairs: Pairs) -> Compared:
        """Return the values and what standard errors come with them; see :class:`metrics.compare.base.Comparison`."""
        found = self._evaluate(representations, pairs)
        return Compared(self.facts[0].name, self.variant, found.value, found.stderr, reasons=found.reasons)

    def _evaluate(self, representations: Sequence[Tensor], pairs: Pairs) -> "_Evaluated[Prepared]":
        """Return values and the standard errors that come with them, every representation prepared once."""
        used = sorted({place for pair in pairs for place in pair})
        centres = {place: centred(representations[place]) for place in used}
        tries = {
            place: _attempt(partial(self._prepared, representations[place], item)) for place, item in centres.items()
        }
        items = {place: found for place, found in tries.items() if not isinstance(found, NotComparable)}
        result = _Evaluated(items, np.full(len(pairs), np.nan), np.full(len(pairs), np.nan))

        def compared(pair: tuple[int, int]) -> tuple[float, float | None] | NotComparable:
            a, b = pair
            reason = pair_reason(centres[a], centres[b])
            return NotComparable(reason) if reason else _attempt(partial(self._value, tries[a], tries[b]))

        for index, found in enumerate(in_threads(compared, pairs)):
            result.fill(index, found)
        return result

    def _prepared(self, features: Tensor, item: Centred) -> Prepared:
        if item.reason:
            raise NotComparable(item.reason)
        return self.prepare(features, item)

    def _value(self, a: Prepared | NotComparable, b: Prepared | NotComparable) -> tuple[float, float | None]:
        if isinstance(a, NotComparable):
            raise a
        if isinstance(b, NotComparable):
            raise b
        return self.value(a, b)

    def _fill_errors(
        self, representations: Sequence[Tensor], pairs: Pairs, places: Sequence[int], found: "_Evaluated[Prepared]"
    ) -> dict[int, str]:
        """Fill in the standard errors of pairs from halves of the examples; return why some have none."""
        examples, own = len(representations[0]), [pairs[place] for place in places]
        halves = [self._half([x[half] for x in representations], own) for half in half_samples(examples)]
        reasons: dict[int, str] = {}
        for index, place in enumerate(places):
            few = [half.reasons[index] for half in halves if index in half.reasons]
            if few:
                reasons[place] = f"no standard error, as half of the examples are too few: {few[0]}"
                continue
            values, choices = np.array([half.value[index] for half in halves]), [half.choices[index] for half in halves]
            a, b = (found.items[side] for side in pairs[place])
            with_them = {choice: self.value_with(a, b, choice) for choice in sorted(set(choices))}
            steps = np.array([with_them[choice] for choice in choices])
            found.stderr[place] = spread_of_halves(values, steps, examples)
            if np.isnan(found.stderr[place]):
                reasons[place] = f"no standard error, as samples differ in the number of directions, {told(choices)}"
        return reasons

    def _half(self, representations: Sequence[Tensor], pairs: Pairs) -> "_Half":
        """Return the values of pairs from some of the examples, and what thresholds chose; the rest is not kept."""
        found = self._evaluate(representations, pairs)
        choices = [
            () if index in found.reasons else self.choices(found.items[a], found.items[b])
            for index, (a, b) in enumerate(pairs)
        ]
        return _Half(found.value, choices, found.reasons)

    def _null(self, shuffled: Sequence[np.ndarray], values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, end of the band towards agreement and p value; a permutation that changes nothing agrees."""
        # More than the rounding errors of float32, less than anyone could see.
        slack = 1e-5 * np.abs(np.stack(shuffled)).max(1)
        values = values - slack if self.is_similarity else values + slack
        null, high, p = sampled_null(shuffled, values, upper=self.is_similarity)
        return null, high, np.where(np.isfinite(null), p, np.nan)


@dataclass(frozen=True)
class _Half:
    """Values and choices of pairs in one half of the examples, and why some have none."""

    value: np.ndarray
    choices: list[tuple[int, ...]]
    reasons: Mapping[int, str]


@dataclass(frozen=True)
class _Evaluated(Generic[Prepared]):
    """Columns over pairs, the items that could be prepared, and which pairs brought no standard error."""

    items: Mapping[int, Prepared]
    value: np.ndarray
    stderr: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)
    without_error: set[int] = field(default_factory=set)

    def fill(self, index: int, found: tuple[float, float | None] | NotComparable) -> None:
        if isinstance(found, NotComparable):
            self.reasons[index] = str(found)
            return
        self.value[index] = found[0]
        if found[1] is None:
            self.without_error.add(index)
        else:
            self.stderr[index] = found[1]


def _attempt(work: Callable[[], Result]) -> Result | NotComparable:
    """Return what a function returns, or why it cannot."""
    try:
        return work()
    except NotComparable as reason:
        return reason
    except (torch.linalg.LinAlgError, np.linalg.LinAlgError):  # type: ignore[attr-defined]
        return NotComparable("the singular values did not converge")
