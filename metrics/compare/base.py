"""What a comparison of representations is: many representations of the same examples in, values of pairs out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from metrics.base import Described

Pairs = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Compared:
    """One quantity of m pairs.

    Attributes:
        metric: its name, one of the comparison's facts.
        variant: estimator and parameters, such as ``debiased``; empty if there is only one.
        value: shape (m,), float64; NaN where it is not defined.
        stderr: standard errors over examples, shape (m,), NaN where one is not known; None if none is.
        chance: the mean of what chance alone produces: the value expected if one side's examples were shuffled.
        chance_hi: the end of chance's band towards agreement: a similarity's 95 % quantile, a distance's 5 %.
        p: the probability of a value at least as much in agreement by chance.
        reasons: place of a pair -> why its value is NaN.
        error_reasons: place of a pair with a value -> why it has no standard error, where there is more to say than
            that it is not known.
    """

    metric: str
    variant: str
    value: np.ndarray
    stderr: np.ndarray | None = None
    chance: np.ndarray | None = None
    chance_hi: np.ndarray | None = None
    p: np.ndarray | None = None
    reasons: Mapping[int, str] = field(default_factory=dict)
    error_reasons: Mapping[int, str] = field(default_factory=dict)


class Comparison(Described):
    """A way to compare representations: subclass, state the facts, implement :meth:`compare`.

    A representation is a float32 tensor of shape (n, units), or (n, positions, units) where positions are further
    samples; its n rows are the same n examples for all. Rows of one example are never torn apart by a permutation, and
    n, not n · positions, is the sample size.

    Attributes:
        variant: the estimator and its parameters, empty if there is only one.
    """

    variant: str = ""

    def compare(
        self, representations: Sequence[Tensor], pairs: Pairs, permutations: int, seed: int
    ) -> Sequence[Compared]:
        """Return the values of pairs.

        Args:
            representations: what is compared; the numbers of units may differ.
            pairs: places in ``representations``, each of the two different.
            permutations: how many random permutations of one side's examples the null band is made of, where it is
                not known in closed form; 0 leaves it out.
            seed: of the permutations; a pair's values do not depend on which other pairs are asked for.

        Returns:
            One entry a quantity. A pair that cannot be compared is NaN with a reason.
        """
        raise NotImplementedError

    def values(self, representations: Sequence[Tensor], pairs: Pairs) -> Compared:
        """Return the first quantity of pairs; standard errors and null band only as far as they cost nothing.

        Args:
            representations: see :meth:`compare`.
            pairs: see :meth:`compare`.
        """
        return self.compare(representations, pairs, 0, 0)[0]

    def unbiased_from(self, units: int) -> int:
        """Return from how many examples on the bias is below the standard error, if two layers have so many units.

        0 where chance levels and the standard error say all there is.
        """
        return 0

    def compare_sketches(self, sketches: Sequence[Tensor], pairs: Pairs) -> Sequence[Compared] | None:
        """Return the values of pairs from sketches of the representations, None if this measure cannot.

        Args:
            sketches: see :func:`metrics.compare.products.gram_sketch.gram_sketch`, each of shape (s,).
            pairs: places in ``sketches``.
        """
        return None
