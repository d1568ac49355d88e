"""How near the clients' representations have come to being as unlike as chance makes them."""

import numpy as np


def block_similarities(representations: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each client's mean debiased CKA with the others on blocks of the probe, and what chance makes of it.

    With K̃_c the U-centred Gram matrix of client c on the m examples of a block, divided by its norm, the similarity is
    ⟨K̃_c, Σ_{d≠c} K̃_d⟩ / (K − 1). For chance the other clients' examples are shifted by half a block, so that no
    example meets itself.

    Args:
        representations: of one layer, shape (K, n, units), K ≥ 2; the same n examples for all.
        blocks: B; examples beyond B equal blocks of m = n // B ≥ 4 are left out.

    Returns:
        Similarities and those of chance, each of shape (K, B); NaN where a representation is constant on a block.

    References:
        Kornblith et al. 2019, arXiv 1905.00414; Song et al. 2012, JMLR 13 (debiased HSIC).

    Examples:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).standard_normal((1, 40, 3))
        >>> same, chance = block_similarities(np.concatenate([x, x]), 2)
        >>> same.round(3).tolist(), chance.shape
        ([[1.0, 1.0], [1.0, 1.0]], (2, 2))
    """
    size = representations.shape[1] // blocks
    pairs = []
    for block in range(blocks):
        rows = representations[:, block * size : (block + 1) * size].astype(np.float64)
        grams = _centred(rows @ rows.transpose(0, 2, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            grams = grams / np.sqrt((grams**2).sum((1, 2), keepdims=True))
        others = (grams.sum(0) - grams) / (len(grams) - 1)
        shifted = np.roll(others, size // 2, axis=(1, 2))
        pairs.append(((grams * others).sum((1, 2)), (grams * shifted).sum((1, 2))))
    values, chance = np.stack(pairs, -1)
    return values, chance


def similarity_rise(values: np.ndarray, chance: np.ndarray, weights: np.ndarray, threshold: float = 1.0) -> np.ndarray:
    """Return max_{k≤l} d_k / τ with d_k = (1 − s_k) / (1 − u_k): 0 for equal representations, 1 as unlike as chance.

    s_k is a client's mean similarity to the others in layer k and u_k the upper end of its null band: the mean of
    what chance gives plus 1.645 of its standard errors over B blocks. With τ = 1 layers are shared while their
    similarity is above the band.

    Args:
        values: similarities of a client to the others by layer and block, shape (L, B), B ≥ 2.
        chance: what chance makes of them, the same shape.
        weights: of the blocks in every resample, shape (R, B), see
            :func:`metrics.transition.resampling.bootstrap_weights`.
        threshold: τ in (0, 1].

    Returns:
        Shape (R, L), never falling, 1 at the threshold.

    Examples:
        >>> import numpy as np
        >>> values, chance = np.array([[1.0, 1.0], [0.6, 0.6], [0.0, 0.0]]), np.zeros((3, 2))
        >>> similarity_rise(values, chance, np.full((1, 2), 0.5)).round(3).tolist()
        [[0.0, 0.4, 1.0]]
    """
    blocks = values.shape[1]
    high = chance.mean(1) + _ABOVE * chance.std(1, ddof=1) / np.sqrt(blocks)
    with np.errstate(divide="ignore", invalid="ignore"):
        unlike = (1 - weights @ values.T) / (1 - high)
    rise: np.ndarray = np.maximum.accumulate(unlike, axis=1) / threshold
    return rise


# The 95 % quantile of the standard normal distribution.
_ABOVE = 1.645


def _centred(grams: np.ndarray) -> np.ndarray:
    """Return U-centred Gram matrices, shape (K, m, m): sums over rows are 0 without the diagonal, which is 0."""
    m = grams.shape[-1]
    grams = grams * (1 - np.eye(m))
    rows = grams.sum(-1) / (m - 2)
    total = grams.sum((-2, -1)) / (m - 1) / (m - 2)
    found: np.ndarray = grams - rows[:, :, None] - rows[:, None, :] + total[:, None, None]
    return found * (1 - np.eye(m))
