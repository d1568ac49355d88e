"""Distances computed by the library netrep, if it is installed."""

import importlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fedlayers.core.errors import UserError
from metrics.base import Facts
from metrics.compare.measures.pairwise import NotComparable, PairwiseComparison
from metrics.compare.products.centred import Centred

_INSTALL = "pip install git+https://github.com/ahwillia/netrep"


class Netrep(PairwiseComparison[np.ndarray]):
    """Any metric of netrep between two arrays ``netrep_distance``, in its own unit.

    Representations are handed over as float64 arrays (N, units). Metrics with ``fit_score`` are called with it, others
    with ``fit`` and ``score`` on the same rows. There is neither a standard error nor a null band, for which the
    metric would have to run a hundred times more: :class:`metrics.compare.measures.procrustes.Procrustes` and
    :class:`metrics.compare.measures.shape.ShapeMetric` are netrep's ``LinearMetric`` with both.

    Args:
        metric: the dotted name of its class, such as ``netrep.metrics.LinearMetric``.
        arguments: name -> value, what the class is called with.

    Raises:
        UserError: netrep is not installed, or has no such class, or the arguments do not fit.

    References:
        Williams et al. 2021, Generalized Shape Metrics on Neural Representations, arXiv 2110.14739;
        https://github.com/ahwillia/netrep.
    """

    facts = (
        Facts(
            "netrep_distance", "1", 0.0, math.inf, "lower", "https://github.com/ahwillia/netrep",
            symmetric=True, cost="heavy", minimum_n=4,
        ),
    )  # fmt: skip

    def __init__(self, metric: str, arguments: Mapping[str, Any]) -> None:
        self._metric = _built(metric, arguments)
        name = metric.rpartition(".")[2]
        self.variant = f"{name}({', '.join(f'{key}={value}' for key, value in arguments.items())})"

    def prepare(self, features: Tensor, item: Centred) -> np.ndarray:
        """Return the representation as an array."""
        # With as many units as examples they may have come rotated (metrics.compare.products.compact), and are no units
        # any more.
        if type(self._metric).__name__ == "PermutationMetric" and features.shape[-1] >= len(features):
            raise NotComparable(
                f"matching units needs more examples than units, got {len(features)} and {features.shape[-1]}"
            )
        array: np.ndarray = features.double().flatten(0, -2).numpy()
        return array

    def value(self, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        """Return the distance; its standard error is not known."""
        try:
            if hasattr(self._metric, "fit_score"):
                return float(self._metric.fit_score(a, b)), math.nan
            self._metric.fit(a, b)
            return float(self._metric.score(a, b)), math.nan
        except Exception as error:  # whatever a metric of another library may raise concerns this pair only
            raise NotComparable(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error

    def shuffled(self, a: np.ndarray, b: np.ndarray, orders: Tensor) -> np.ndarray:
        """Return nothing: there is no null band."""
        return np.full(len(orders), np.nan)


def _built(metric: str, arguments: Mapping[str, Any]) -> Any:
    """Return the metric object."""
    module, _, name = metric.rpartition(".")
    try:
        importlib.import_module("netrep")
    except ModuleNotFoundError as error:
        raise UserError(
            f"similarity.netrep needs the library netrep, which is not on PyPI ({error}); install it with "
            f"{_INSTALL}, or choose similarity=[procrustes]"
        ) from error
    try:
        made = getattr(importlib.import_module(module), name) if module.startswith("netrep") else None
    except (ImportError, AttributeError):
        made = None
    if made is None:
        raise UserError(
            f"similarity.netrep.metric must be the dotted name of a class of netrep, such as "
            f"netrep.metrics.LinearMetric, got {metric!r}"
        )
    try:
        return made(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"similarity.netrep.arguments must be those of {metric}, got {dict(arguments)}: {error}"
        ) from error
