"""The share of the variance of batch gradients that lies between clients, layer by layer."""

from collections.abc import Sequence

import numpy as np


def gradient_share_rises(
    gradients: Sequence[np.ndarray], weights: Sequence[np.ndarray], threshold: float = 0.5
) -> list[np.ndarray]:
    """Return max_{k≤l} ρ_k / τ of every client, ρ_k the share of variance between it and the others in layer k.

    Of K clients, client c has B_c batch gradients g_cb with mean ḡ_c and W_c = Σ_b ‖g_cb − ḡ_c‖² / (B_c − 1); ḡ_{−c}
    is the mean of the other clients' means. Equal distributions make ‖ḡ_c − ḡ_{−c}‖² as large as the noise
    W_c / B_c + Σ_{d≠c} W_d / B_d / (K − 1)² on average; what is left of it, times (K − 1) / K, is between_c, whose
    mean over clients is the unbiased variance between them. ρ = between / (max(between, 0) + W_c): at one half a
    client's gradient differs from those of others as much as one of its batches from the next, so that more of what
    it learns there is its own than is chance.

    Args:
        gradients: g_cb of every client, each of shape (L, B_c, d), B_c ≥ 2; the numbers may be sketches, and layers of
            fewer than d numbers end in zeros.
        weights: of every client's batches in every resample, shape (R, B_c), the first row of each 1 / B_c, see
            :func:`metrics.transition.resampling.bootstrap_weights`; the noise that resampling adds is taken off, too.
        threshold: τ in (0, 1).

    Returns:
        For every client an array of shape (R, L), never falling, 0 on average for clients of equal distribution, 1 at
        the threshold; NaN for a single client. The same for any scale of the loss.

    References:
        Searle, Casella & McCulloch 1992, Variance Components, ch. 3; Karimireddy et al. 2020, SCAFFOLD,
        arXiv 1910.06378.

    Examples:
        >>> import numpy as np
        >>> first = np.array([[[0.0], [2.0]], [[9.0], [11.0]]])
        >>> second = np.array([[[0.0], [2.0]], [[-11.0], [-9.0]]])
        >>> gradient_share_rises([first, second], [np.full((1, 2), 0.5)] * 2)[0].round(2).tolist()
        [[-1.0, 1.98]]
    """
    clients = len(gradients)
    if clients < 2:
        return [np.full((len(own), gradients[0].shape[0]), np.nan) for own in weights]
    means = np.stack([own.mean(1) for own in gradients])
    noises = np.stack([own.var(1, ddof=1).sum(-1) / own.shape[1] for own in gradients])
    rises = []
    for client, (own, counted) in enumerate(zip(gradients, weights, strict=True)):
        batches = own.shape[1]
        rest = (means.sum(0) - means[client]) / (clients - 1)
        # A resample's mean varies by (B − 1) / B of what the sample's does, in addition to it.
        extra = np.full((len(counted), 1), 1 + (batches - 1) / batches)
        extra[0] = 1
        noise = extra * noises[client] + (noises.sum(0) - noises[client]) / (clients - 1) ** 2
        drawn = np.einsum("rb,lbd->rld", counted, own, optimize=True)
        between = (((drawn - rest) ** 2).sum(-1) - noise) * (clients - 1) / clients
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = between / (np.maximum(between, 0) + batches * noises[client])
        rises.append(np.maximum.accumulate(shares, axis=1) / threshold)
    return rises
