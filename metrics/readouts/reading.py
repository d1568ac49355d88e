"""One number that was read off a stage: its value, its error, and what chance alone gives."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from metrics.geometry.chance import Chance, against_chance

_UNKNOWN = Chance()


@dataclass(frozen=True)
class Reading:
    """A value with what is needed to judge it.

    Attributes:
        value: NaN if it is not defined here.
        stderr: its standard error over examples, None if it is not known.
        chance: what chance alone gives.
        reason: why the value is not defined.
        n: the number of examples that it is of; None for all.
    """

    value: float
    stderr: float | None = None
    chance: Chance = _UNKNOWN
    reason: str = "the value is not finite"
    n: int | None = None


def below_chance(value: float, by_chance: Tensor) -> Chance:
    """Return how a value compares with those of shuffled data where low values count.

    ``chance_hi`` is then the 5 % quantile: the end of chance's band towards agreement.

    Args:
        value: the value measured.
        by_chance: the values of shuffled data, shape (s,), float64.

    Examples:
        >>> import torch
        >>> below_chance(0.1, torch.arange(99) / 100).p
        0.12
    """
    turned = against_chance(-value, -by_chance)
    mean, end = (None if number is None else -number for number in (turned.chance, turned.chance_hi))
    return Chance(mean, end, turned.p)


def mean_and_error(terms: Tensor) -> tuple[float, float]:
    """Return the mean of n ≥ 2 terms, one an example, and its standard error, both in float64.

    Examples:
        >>> import torch
        >>> value, stderr = mean_and_error(torch.tensor([1.0, 2.0, 3.0, 6.0]))
        >>> value, round(stderr, 4)
        (3.0, 1.0801)
    """
    wide = terms.detach().double()
    return float(wide.mean()), float(wide.std()) / math.sqrt(len(wide))


def undefined(names: Iterable[str], reason: str) -> dict[str, Reading]:
    """Return readings that have no value, by quantity.

    Examples:
        >>> undefined(["anchor_margin"], "the probe has no labels")["anchor_margin"].reason
        'the probe has no labels'
    """
    return {name: Reading(math.nan, reason=reason) for name in names}
