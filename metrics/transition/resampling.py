"""Bootstrap resamples of batches, as the weights that each batch has in each of them."""

import numpy as np
from scipy.special import ndtr, stdtrit


def bootstrap_weights(batches: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Return how much each batch counts in each of many resamples, drawn with replacement.

    Args:
        batches: B, 1 or more.
        resamples: R, 1 or more.
        generator: of the draws.

    Returns:
        Shape (R + 1, B), rows summing to 1; the first row is the sample itself, 1 / B everywhere.

    References:
        Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 6.

    Examples:
        >>> import numpy as np
        >>> bootstrap_weights(4, 1, np.random.default_rng(0)).sum(1).tolist()
        [1.0, 1.0]
    """
    drawn = generator.multinomial(batches, np.full(batches, 1 / batches), size=resamples) / batches
    return np.concatenate([np.full((1, batches), 1 / batches), drawn])


def expanded_level(error_rate: float, units: int) -> float:
    """Return the percentile at which a bootstrap interval of few units ends, so that it errs as rarely as it says.

    A percentile interval of a mean of n units is too short by √((n − 1) / n) and knows nothing of Student's t. The
    level α′ = Φ(√(n / (n − 1)) t_{α, n−1}) makes up for both.

    Args:
        error_rate: α, one-sided, in (0, 0.5).
        units: n, 2 or more.

    References:
        Hesterberg 2015, What Teachers Should Know About the Bootstrap, The American Statistician 69 (expanded
        percentile interval).

    Examples:
        >>> round(expanded_level(0.05, 8), 4), round(expanded_level(0.05, 1000), 3)
        (0.0214, 0.05)
    """
    from_t = float(stdtrit(units - 1, error_rate))
    return float(ndtr(np.sqrt(units / (units - 1)) * from_t))
