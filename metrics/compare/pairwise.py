"""Comparing pair by pair what was prepared item by item."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from metrics.compare.base import Compared, Comparison, Pairs
from metrics.compare.centred import Centred, centred, pair_reason
from metrics.compare.permutations import record_permutations, sampled_null
from metrics.jackknife import block_sizes, jackknife_error

BLOCKS = 8
_ERRORS = (torch.linalg.LinAlgError, np.linalg.LinAlgError)
_NO_CONVERGENCE = "the singular values could not be computed"

Prepared = TypeVar("Prepared")


class NotComparable(ValueError):
    """Why a representation, or two of them, have no value; becomes the reason of the missing values."""


class PairwiseComparison(Comparison, Generic[Prepared]):
    """One quantity of pairs: subclass, implement :meth:`prepare`, :meth:`value` and :meth:`shuffled`.

    Standard errors: those that :meth:`value` returns, or else the delete-a-block jackknife over records with
    eight blocks, record i in block i mod 8. Null: random permutations of the second side's records, the same for all
    pairs.

    Attributes:
        is_similarity: whether large values mean agreement.
    """

    is_similarity: ClassVar[bool]

    @property
    def variant(self) -> str:
        """The estimator and its parameters; empty if there is only one."""
        return ""

    def prepare(self, features: Tensor, item: Centred) -> Prepared:
        """Return what is needed of one representation, computed once for all of its pairs.

        Args:
            features: the representation as it came.
            item: the same, centred and scaled.

        Raises:
            NotComparable: why it cannot be compared.
        """
        raise NotImplementedError

    def value(self, a: Prepared, b: Prepared) -> tuple[float, float | None]:
        """Return the value of one pair and its standard error; None asks for the jackknife, NaN says unknown.

        Raises:
            NotComparable: why there is no value.
        """
        raise NotImplementedError

    def shuffled(self, a: Prepared, b: Prepared, orders: Tensor) -> np.ndarray:
        """Return the values with the second side's records in other orders (permutations, n)."""
        raise NotImplementedError

    def shuffled_pairs(
        self, items: Mapping[int, Prepared], pairs: Pairs, orders: Tensor
    ) -> Sequence[np.ndarray]:
        """Return :meth:`shuffled` of every pair; NaN where it cannot be computed."""
        found = []
        for a, b in pairs:
            try:
                found.append(self.shuffled(items[a], items[b], orders))
            except _ERRORS:
                found.append(np.full(len(orders), np.nan))
        return found

    def compare(
        self, representations: Sequence[Tensor], pairs: Pairs, permutations: int, seed: int
    ) -> Sequence[Compared]:
        """Return the values of pairs; see :class:`metrics.compare.base.Comparison`."""
        found = self._evaluate(representations, pairs)
        errors, null, high, p = (np.full(len(pairs), np.nan) for _ in range(4))
        valid = [index for index in range(len(pairs)) if index not in found.reasons]
        if valid:
            chosen, values = [pairs[index] for index in valid], found.values[valid]
            errors[valid] = found.errors[valid]
            unknown = [place for place, index in enumerate(valid) if index in found.without_error]
            if unknown:
                own = [chosen[place] for place in unknown]
                errors[[valid[place] for place in unknown]] = self._jackknife(representations, own, values[unknown])
            orders = record_permutations(len(representations[0]), permutations, seed)
            null[valid], high[valid], p[valid] = self._null(self.shuffled_pairs(found.items, chosen, orders), values)
        metric = self.facts[0].name
        return [Compared(metric, self.variant, found.values, errors, null, high, p, found.reasons)]

    def _evaluate(self, representations: Sequence[Tensor], pairs: Pairs) -> "_Evaluated[Prepared]":
        centres, items, refused = {}, {}, {}
        for place in sorted({place for pair in pairs for place in pair}):
            centres[place] = centred(representations[place])
            if centres[place].reason is None:
                prepared, refused[place] = _attempt(lambda: self.prepare(representations[place], centres[place]))
                if prepared is not None:
                    items[place] = prepared
        values, errors = np.full((2, len(pairs)), np.nan)
        reasons, without_error = {}, set()
        for index, (a, b) in enumerate(pairs):
            reason = pair_reason(centres[a], centres[b]) or refused[a] or refused[b]
            if reason is None:
                found, reason = _attempt(lambda: self.value(items[a], items[b]))
            if reason is not None:
                reasons[index] = reason
                continue
            values[index], error = found
            ...
        return _Evaluated(values, errors, reasons, items)
