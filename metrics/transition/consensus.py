"""One profile for all clients: the median, with the uncertainty of batches and clients."""

import numpy as np


def consensus_profiles(profiles: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the median over clients of their profiles, and of resampled clients with resampled batches.

    Two levels: every client's resamples have resampled batches already; here the clients are drawn with replacement,
    too, so that the spread holds both. The median of profiles that never fall never falls.

    Args:
        profiles: every client's profile and after it its resamples, shape (K, R + 1, L).
        generator: of the draws.

    Returns:
        Shape (R + 1, L); clients whose own profile has a NaN are left out, and it is NaN if that leaves none.

    References:
        Davison & Hinkley 1997, Bootstrap Methods and their Application, section 3.8 (hierarchical resampling).

    Examples:
        >>> import numpy as np
        >>> clients = np.array([[[0.0, 1.0]], [[0.0, 3.0]], [[0.0, 9.0]]])
        >>> consensus_profiles(clients, np.random.default_rng(0)).tolist()
        [[0.0, 3.0]]
    """
    known = profiles[np.isfinite(profiles[:, 0]).all(1)]
    if not len(known):
        return np.full(profiles.shape[1:], np.nan)
    chosen = generator.integers(len(known), size=(known.shape[1], len(known)))
    chosen[0] = np.arange(len(known))
    places = np.arange(known.shape[1])[:, None]
    medians: np.ndarray = np.median(known[chosen, places], axis=1)
    return medians
