"""Analysis of variance of a federation: how much gradients differ between clients, how much within them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import takes_arrays
from metrics.statistics.jackknife import jackknife_error


@dataclass(frozen=True)
class Decomposition:
    """Variance between and within clients, each with its standard error over clients (None for fewer than 3).

    Attributes:
        between: Σ_k p_k ‖G_k − Ḡ‖², unbiased, so 0 in expectation for equal distributions, and maybe negative.
        within: Σ_k p_k tr Σ_k.
        ratio: between / (between + within), the share of the variance of one example's gradient that lies between
            clients; NaN if there is no variance at all.
        errors: standard errors of ``between``, ``within`` and ``ratio``.
    """

    between: float
    within: float
    ratio: float
    errors: dict[str, float | None]


@takes_arrays
def decompose(deviations: Tensor, traces: Tensor, sizes: Tensor, shares: Tensor) -> Decomposition:
    """Split the variance of one example's gradient by the law of total variance.

    Client k, drawn with probability p_k, has expected gradient G_k and covariance Σ_k; g_k is the mean of n_k of its
    examples' gradients, ḡ = Σ p_k g_k. Since E Σ p_k ‖g_k − ḡ‖² exceeds the variance between the G_k by the sampling
    noise Σ p_k (1 − p_k) tr Σ_k / n_k, that is subtracted; nothing is clipped.

    Args:
        deviations: ‖g_k − ḡ‖², shape (K,), K ≥ 2.
        traces: tr Σ_k, unbiased, shape (K,).
        sizes: n_k, shape (K,).
        shares: p_k, shape (K,), summing to 1.

    Returns:
        The decomposition. Standard errors are delete-one-client jackknife: they take the clients for a sample of
        clients.

    References:
        Searle, Casella & McCulloch 1992, Variance Components, ch. 3 (the analysis-of-variance estimator).
        Karimireddy et al. 2020, SCAFFOLD, arXiv 1910.06378 (gradient dissimilarity between clients).

    Examples:
        >>> import torch
        >>> deviations, traces = torch.tensor([4.0, 4.0]), torch.tensor([8.0, 8.0])
        >>> sizes, shares = torch.tensor([16.0, 16.0]), torch.tensor([0.5, 0.5])
        >>> found = decompose(deviations, traces, sizes, shares)
        >>> round(found.between, 3), round(found.within, 3), round(found.ratio, 3)
        (3.75, 8.0, 0.319)
    """
    noise = traces / sizes
    between = float(shares @ deviations - (shares * (1 - shares)) @ noise)
    within = float(shares @ traces)
    errors: dict[str, float | None] = dict.fromkeys(("between", "within", "ratio"))
    if len(shares) > 2:
        # Without client k: p_j / (1 − p_k), and the mean moves by −p_k (g_k − ḡ) / (1 − p_k).
        rest = 1 - shares
        spread = (shares @ deviations - shares * deviations) / rest - shares.square() * deviations / rest.square()
        linear = (shares @ noise - shares * noise) / rest
        square = (shares.square() @ noise - shares.square() * noise) / rest.square()
        betweens, withins = spread - (linear - square), (within - shares * traces) / rest
        ones = torch.ones(len(shares), dtype=torch.int64)
        errors["between"] = jackknife_error(between, betweens, ones)
        errors["within"] = jackknife_error(within, withins, ones)
        errors["ratio"] = jackknife_error(_ratio(between, within), betweens / (betweens + withins), ones)
    return Decomposition(between, within, _ratio(between, within), errors)


def _ratio(between: float, within: float) -> float:
    return between / (between + within) if between + within > 0 else math.nan
