"""The measures people look for, as functions of arrays: ``metrics.cka(x, y)``.

A representation is an array (n, units), NumPy's or a tensor on any device: what one layer puts out for n examples, the
same examples in the same order on both sides. Each function returns one number; with standard error, chance level and
p value the classes behind them give it: ``metrics.compare_representations(x, y, CKA())``.
"""

import math

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.compare.base import Compared, Comparison
from metrics.compare.measures.cca import PWCCA, SVCCA
from metrics.compare.measures.cka import CKA
from metrics.compare.measures.procrustes import Procrustes
from metrics.compare.measures.rsa import RSA
from metrics.compare.measures.shape import ShapeMetric
from metrics.geometry.effective_rank import effective_rank as _effective_rank
from metrics.geometry.participation_ratio import debiased_participation_ratio, plain_participation_ratio
from metrics.geometry.principal_coordinates import PrincipalCoordinates, principal_coordinates, why_undefined


def cka(x: Array, y: Array, estimator: str = "debiased") -> float:
    """Return linear CKA: 1 for equal up to rotation and scale; debiased, 0 on average for independent ones.

    Args:
        x: shape (n, units).
        y: shape (n, units), the numbers of units may differ.
        estimator: ``debiased``, or ``biased`` as in older papers: towards 1 with fewer examples than units.

    Raises:
        ValueError: they cannot be compared; the message says why.
        TypeError: one is neither a NumPy array nor a tensor.

    References:
        Kornblith et al. 2019, arXiv 1905.00414; see :class:`metrics.compare.measures.cka.CKA`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> rotation = np.linalg.qr(generator.normal(size=(8, 8)))[0]
        >>> round(cka(x, 2 * x @ rotation), 6)
        1.0
        >>> abs(cka(x, generator.normal(size=(200, 8)))) < 0.05
        True
    """
    return _value(CKA(estimator), x, y)


def cka_distance(x: Array, y: Array, estimator: str = "debiased") -> float:
    """Return the angle arccos(CKA) in radians, a metric; arguments and errors as of :func:`cka`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> noisy = x + generator.normal(size=x.shape)
        >>> round(cka_distance(x, noisy), 3)
        1.08
    """
    return math.acos(min(max(cka(x, y, estimator), -1.0), 1.0))


def procrustes(x: Array, y: Array) -> float:
    """Return the angular Procrustes distance in radians, 0 for equal up to rotation, scale and translation.

    Arguments and errors as of :func:`cka`; see :class:`metrics.compare.measures.procrustes.Procrustes`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> noisy = x + generator.normal(size=x.shape)
        >>> round(procrustes(x, x + 1), 4), round(procrustes(x, noisy), 3)
        (0.0, 0.809)
    """
    return _value(Procrustes(), x, y)


def shape_distance(x: Array, y: Array, alpha: float = 1.0) -> float:
    """Return the angular shape distance in radians: rotations are free for ``alpha`` 1, all linear maps for 0.

    Arguments and errors as of :func:`cka`; see :class:`metrics.compare.measures.shape.ShapeMetric`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> stretched = x * np.arange(1, 9)
        >>> round(shape_distance(x, stretched, alpha=0.0), 4), round(shape_distance(x, stretched, alpha=1.0), 3)
        (0.0, 0.451)
    """
    return _value(ShapeMetric(alpha), x, y)


def svcca(x: Array, y: Array, variance: float = 0.99) -> float:
    """Return the mean canonical correlation of the directions with that share of the variance.

    Arguments and errors as of :func:`cka`; see :class:`metrics.compare.measures.cca.SVCCA`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> rotation = np.linalg.qr(generator.normal(size=(8, 8)))[0]
        >>> round(svcca(x, 2 * x @ rotation), 6)
        1.0
    """
    return _value(SVCCA(variance), x, y)


def pwcca(x: Array, y: Array) -> float:
    """Return the projection-weighted canonical correlation.

    See :func:`cka` and :class:`metrics.compare.measures.cca.PWCCA`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> rotation = np.linalg.qr(generator.normal(size=(8, 8)))[0]
        >>> round(pwcca(x, x @ rotation), 6)
        1.0
    """
    return _value(PWCCA(), x, y)


def rsa(x: Array, y: Array) -> float:
    """Return the rank correlation of distances between examples.

    Arguments and errors as of :func:`cka`; see :class:`metrics.compare.measures.rsa.RSA`.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> rotation = np.linalg.qr(generator.normal(size=(8, 8)))[0]
        >>> round(rsa(x, 2 * x @ rotation), 6)
        1.0
    """
    return _value(RSA(), x, y)


def compare_representations(
    x: Array, y: Array, measure: Comparison, permutations: int = 100, seed: int = 0
) -> list[Compared]:
    """Return what a measure says of two representations, with standard error, chance level and p value.

    Args:
        x: shape (n, units).
        y: shape (n, units).
        measure: such as ``metrics.compare.measures.cka.CKA()``.
        permutations: random ones behind the chance level where it has no closed form, 0 for none.
        seed: of the permutations.

    Returns:
        One entry a quantity, each attribute an array with one number.

    Examples:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> x = generator.normal(size=(200, 8))
        >>> noisy = x + generator.normal(size=x.shape)
        >>> from metrics.compare.measures.cka import CKA
        >>> found = compare_representations(x, noisy, CKA())
        >>> [(one.metric, round(float(one.value[0]), 3), round(float(one.chance[0]), 3)) for one in found]
        [('cka', 0.471, 0.0), ('cka_distance', 1.08, 1.571)]
    """
    return list(measure.compare(_both(x, y), [(0, 1)], permutations, seed))


def participation_ratio(x: Array, debiased: bool = True) -> float:
    """Return how many directions carry the variance of a representation (n, units).

    Args:
        x: shape (n, units), n ≥ 4.
        debiased: corrected for n; else tr(S)² / tr(S²), which grows with n.

    Raises:
        ValueError: it has no variance, or too few examples.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 10)) * ([1.0] * 5 + [0.0] * 5)
        >>> round(participation_ratio(x), 1), round(participation_ratio(x, debiased=False), 1)
        (5.0, 4.9)
    """
    coordinates = _coordinates(x)
    return debiased_participation_ratio(coordinates)[0] if debiased else plain_participation_ratio(coordinates)


def effective_rank(x: Array) -> float:
    """Return exp of the entropy of the shares of variance of a representation (n, units), n ≥ 4.

    Raises:
        ValueError: it has no variance, or too few examples.

    References:
        Roy & Vetterli 2007; see :mod:`metrics.geometry.effective_rank`.

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(1000, 10)) * ([1.0] * 5 + [0.0] * 5)
        >>> round(effective_rank(x), 1)
        5.0
    """
    return _effective_rank(_coordinates(x))[0]


def _value(measure: Comparison, x: Array, y: Array) -> float:
    found = measure.values(_both(x, y), [(0, 1)])
    if found.reasons:
        raise ValueError(f"x and y cannot be compared: {found.reasons[0]}")
    return float(found.value[0])


def _both(x: Array, y: Array) -> list[Tensor]:
    items = [_representation(x, "x"), _representation(y, "y")]
    if len(items[0]) != len(items[1]):
        raise ValueError(
            f"x and y must have a row for each of the same examples, got {len(items[0])} and {len(items[1])} rows"
        )
    return items


def _representation(value: Array, name: str) -> Tensor:
    tensor = as_tensor(value, name)
    if tensor.ndim not in (2, 3) or 0 in tensor.shape:
        raise ValueError(
            f"{name} must have shape (n, units), or (n, positions, units), and not be empty, got {tuple(tensor.shape)}"
        )
    return tensor.to("cpu", torch.float64)  # measures compute with scipy, too


def _coordinates(x: Array) -> PrincipalCoordinates:
    features = _representation(x, "x").flatten(0, -2)
    if reason := why_undefined(features):
        raise ValueError(f"x has no geometry: {reason}")
    return principal_coordinates(features)
