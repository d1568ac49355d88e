"""The rise of cumulative sensitivity over the layers."""

import numpy as np


def sensitivity_rise(scores: np.ndarray, weights: np.ndarray, threshold: float = 1.15) -> np.ndarray:
    """Return (S_l − 1) / (τ − 1) with S_l = Σ_{k≤l} s_k / s_1, the federation sensitivity that PLayer-FL plots.

    s_k is the mean over batches of Σ (w ⊙ g)² / N of layer k. Early layers add next to nothing to that of the first,
    so that S_l stays near 1 as long as layers are general, and rises where the loss begins to depend on them. The
    authors read the place off a figure; a median S_l of about 1.15 is where most of their published points lie.

    Args:
        scores: s_kb ≥ 0 of layer k on batch b, shape (L, B).
        weights: of the batches in every resample, shape (R, B), see
            :func:`metrics.transition.resampling.bootstrap_weights`.
        threshold: τ > 1.

    Returns:
        Shape (R, L): 0 for the first layer, never falling, 1 at the threshold; NaN where the first layer's score is 0.
        The same for any scale of the loss.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829.

    Examples:
        >>> import numpy as np
        >>> scores = np.array([[2.0], [0.0], [0.3], [6.0]])
        >>> sensitivity_rise(scores, np.ones((1, 1))).round(3).tolist()
        [[0.0, 0.0, 1.0, 21.0]]
    """
    means = weights @ scores.T
    with np.errstate(divide="ignore", invalid="ignore"):
        cumulative = means.cumsum(1) / means[:, :1]
    rise: np.ndarray = (cumulative - 1) / (threshold - 1)
    return np.where(means[:, :1] > 0, rise, np.nan)
