"""The entropy of the normal distribution with each unit's variance, the units taken to be independent."""

import math

from torch import Tensor


def diagonal_entropy(rows: Tensor) -> tuple[float, float | None]:
    """Return ½ Σ_j ln(2πe s_j²) in nats, s_j² the sample variance of unit j, and its standard error.

    A differential entropy: scaling a representation by c adds d ln c, values below 0 are as good as others, and only
    stages of equal width compare. It is −∞ as soon as one unit does not vary: nothing is put in place of its variance.
    An upper bound of the entropy of any distribution with these variances. For a normal distribution the sample's is
    low by about d / (2n). The error is the infinitesimal jackknife's.

    Args:
        rows: a centred representation, shape (n, d), n ≥ 2, float64.

    References:
        Cover & Thomas 2006, Elements of Information Theory, theorems 8.4.1 and 8.6.5.

    Examples:
        >>> import torch
        >>> value, _ = diagonal_entropy(torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
        >>> round(value, 4), round(0.5 * math.log(2 * math.pi * math.e * 2), 4)
        (1.7655, 1.7655)
    """
    squares = rows.square()
    variances = squares.sum(0) / (len(rows) - 1)
    if not bool((variances > 0).all()):
        return -math.inf, None
    value = 0.5 * float((2 * math.pi * math.e * variances).log().sum())
    return value, float((squares / variances).sum(1).std()) / 2 / math.sqrt(len(rows))
