"""The entropy of the normal distribution with a representation's covariance."""

import math

from metrics.geometry.principal_coordinates import PrincipalCoordinates


def gaussian_entropy(coordinates: PrincipalCoordinates, relative_epsilon: float) -> tuple[float, float]:
    """Return ½ ln det(2πe (S + εI)) in nats with ε = relative_epsilon · tr(S) / d, and its standard error.

    ε is a part of the mean variance of a unit, so that scaling a representation by c adds d ln c exactly, and a
    rotation nothing. A direction without variance, such as a dead unit, counts as one of variance ε instead of −∞.

    The value is an upper bound of the entropy of any distribution with covariance S + εI. It is a differential entropy:
    it depends on the scale and may be negative, and only layers of equal width compare. The sample's is low, for a
    normal distribution by about d² / (4n). The error is that of
    :meth:`metrics.geometry.principal_coordinates.PrincipalCoordinates.error`, too small by a quarter for n = 4d.

    Args:
        coordinates: of n examples and d units. With n ≤ d at least d − n + 1 directions have no variance, and the value
            is that of ε.
        relative_epsilon: positive.

    References:
        Cover & Thomas 2006, Elements of Information Theory, theorem 8.4.1.
    """
    variances, units = coordinates.variances, coordinates.units
    epsilon = relative_epsilon * float(variances.sum()) / units
    empty = units - len(variances)
    raised = variances + epsilon
    value = 0.5 * (units * math.log(2 * math.pi * math.e) + float(raised.log().sum()) + empty * math.log(epsilon))
    by_epsilon = float((1 / raised).sum()) + empty / epsilon
    return value, coordinates.error(0.5 * (1 / raised + relative_epsilon / units * by_epsilon))
