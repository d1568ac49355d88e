"""Deep relative trust: how far apart two networks are, as a product over layers of their relative differences."""

import math
from collections.abc import Sequence

import numpy as np

from metrics.distances.families import ModelMetric
from metrics.distances.gram.gram_models import layer_tables
from metrics.distances.gram.gram_pairs import GramDistances
from metrics.distances.measures.lp import lp_distance, lp_norm
from metrics.distances.weights.aligned import same_shapes
from metrics.distances.weights.participant import Model


def log_trust(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    """Return Σ_l log(1 + ‖b_l − a_l‖ / ‖a_l‖), the logarithm of the product deep relative trust is made of.

    Args:
        a: the layers' numbers in the network that is the measure, shape (d_l,) each.
        b: the same layers in the other one.

    Returns:
        0 for equal networks, no upper bound; NaN if a layer of a is zero where b's is not, or a number is not finite.
        Layers that are zero in both add nothing.

    Examples:
        >>> import numpy as np
        >>> layer, twice = np.array([3.0, 4.0]), np.array([6.0, 8.0])
        >>> round(log_trust([layer], [twice]), 6), round(float(np.log(2)), 6)
        (0.693147, 0.693147)
    """
    distances = [lp_distance(x, y, 2) for x, y in zip(a, b, strict=True)]
    return float(_logs(np.array(distances), np.array([lp_norm(x, 2) for x in a])).sum())


class LogTrustMetric(ModelMetric):
    """``log_trusted_dst``: Σ_l log(1 + ‖B_l − A_l‖ / ‖A_l‖), Frobenius norms over all arrays of layer l.

    0 for equal models; grows with the number of layers, not exponentially as ``trusted_dst`` does. Not symmetric:
    the first model is the measure. NaN if shapes differ or a layer is zero in the first model only. It is the logarithm
    of 1 + trusted_dst; the logarithm of trusted_dst itself would be −∞ for equal models. All pairs of models come from
    matrix products.

    References:
        Bernstein, Vahdat, Yue & Liu 2020, On the distance between two neural networks and the stability of learning,
        arXiv 2002.03432 (definition 2, with weight matrices as layers).
    """

    cost = "cheap"
    reference = "Bernstein, Vahdat, Yue & Liu 2020, arXiv 2002.03432"

    def __init__(self, name: str = "log_trusted_dst", symmetric: bool = False) -> None:
        super().__init__(name, symmetric=symmetric, scale="invariant")

    def _model_distance(self, a: Model, b: Model) -> float:
        if not same_shapes([a, b]):
            return math.nan
        x, y = ([layer.vector() for layer in model] for model in (a, b))
        return float(self._of_logs(np.array(log_trust(x, y)), np.array(log_trust(y, x))))

    def _model_distance_matrix(self, models: Sequence[Model]) -> np.ndarray:
        tables = layer_tables(models, _log_table)
        if tables is None:
            return super()._model_distance_matrix(models)
        logs = tables.sum(0)
        found = np.asarray(self._of_logs(logs, logs.T))
        np.fill_diagonal(found, 0.0)
        return found

    def _of_logs(self, there: np.ndarray, back: np.ndarray) -> np.ndarray:
        """Return distances from their logarithms and those of the way back, any shape."""
        return there.copy()


class TrustMetric(LogTrustMetric):
    """``trusted_dst``: deep relative trust, Π_l (1 + ‖B_l − A_l‖ / ‖A_l‖) − 1, see :class:`LogTrustMetric`.

    Grows exponentially with the number of layers, up to infinity; ``log_trusted_dst`` orders models in the same way.
    """

    def __init__(self) -> None:
        super().__init__("trusted_dst")

    def _of_logs(self, there: np.ndarray, back: np.ndarray) -> np.ndarray:
        return _growth(there)


class SymmetricTrustMetric(LogTrustMetric):
    """``symmetric_trusted_dst``: √((1 + d(A, B)) (1 + d(B, A))) − 1 with d = ``trusted_dst``.

    The logarithms of both directions are averaged. It equals trusted_dst where both directions agree.
    """

    def __init__(self) -> None:
        super().__init__("symmetric_trusted_dst", symmetric=True)

    def _of_logs(self, there: np.ndarray, back: np.ndarray) -> np.ndarray:
        return _growth((there + back) / 2)


def _growth(logs: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        found: np.ndarray = np.expm1(logs)
    return found


def _log_table(pairs: GramDistances, parts: Sequence[int]) -> np.ndarray:
    return _logs(pairs.l2(parts), pairs.norms(parts)[:, None])


def _logs(distances: np.ndarray, norms: np.ndarray) -> np.ndarray:
    """Return log(1 + distance / norm): 0 for 0 / 0, NaN for a distance from nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log1p(distances / norms)
    logs = np.where(distances == 0, 0.0, logs)
    found: np.ndarray = np.where(np.isinf(logs), np.nan, logs)
    return found


BUILT_IN = (TrustMetric, LogTrustMetric, SymmetricTrustMetric)
