"""How many directions a representation has, weighted by their variance: the effective rank."""

import math

from metrics.geometry.principal_coordinates import PrincipalCoordinates


def effective_rank(coordinates: PrincipalCoordinates) -> tuple[float, float]:
    """Return exp(H), H = −Σ p_j ln p_j with the shares of variance p_j = λ_j / Σλ, and its standard error.

    Biased low for few examples, as it cannot exceed min(n − 1, d); it is at least the plain participation ratio. The
    error is that of :meth:`metrics.geometry.principal_coordinates.PrincipalCoordinates.error`.

    Args:
        coordinates: of n examples.

    References:
        Roy & Vetterli 2007, The effective rank: a measure of effective dimensionality, EUSIPCO.
    """
    total = float(coordinates.variances.sum())
    shares = coordinates.variances / total
    entropy = -float((shares * shares.log()).sum())
    value = math.exp(entropy)
    return value, coordinates.error(-value * (shares.log() + entropy) / total)
