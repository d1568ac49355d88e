"""The rise of curvature over the layers."""

import numpy as np


def curvature_rise(traces: np.ndarray, weights: np.ndarray, threshold: float = 2.0) -> np.ndarray:
    """Return (C_l − 1) / (τ − 1) with C_l = max_{k≤l} h_k / h_1, h_k the mean diagonal element of layer k's Hessian.

    h_k is the trace of the layer's block over its number of parameters, as sensitivity is taken: layers differ in size
    by more than in anything else. Minima that are flat along a layer's weights generalise; curvature falls over the
    layers that extract features and rises again where a network becomes specific to its data. C_l says from where on
    it is above that of the first.

    Args:
        traces: estimates of h_k on batch b without bias, such as vᵀHv / d for d random signs v, shape (L, B).
        weights: of the batches in every resample, shape (R, B), see
            :func:`metrics.transition.resampling.bootstrap_weights`.
        threshold: τ > 1.

    Returns:
        Shape (R, L): 0 for the first layer, never falling, 1 at the threshold; NaN where the first layer's trace is
        not positive. The same for any scale of the loss.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829; Hutchinson 1989, Communications in Statistics 19.

    Examples:
        >>> import numpy as np
        >>> traces = np.array([[4.0], [1.0], [8.0], [6.0]])
        >>> curvature_rise(traces, np.ones((1, 1))).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    means = weights @ traces.T
    with np.errstate(divide="ignore", invalid="ignore"):
        highest = np.maximum.accumulate(means / means[:, :1], axis=1)
    rise: np.ndarray = (highest - 1) / (threshold - 1)
    return np.where(means[:, :1] > 0, rise, np.nan)
