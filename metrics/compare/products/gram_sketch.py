"""A thousand numbers instead of a layer's activations, from which CKA can still be estimated."""

import torch
from torch import Tensor

from fedlayers.core.seeding import torch_generator
from metrics.compare.products.centred import centred

_BLOCK_BYTES = 2**26


def gram_sketch(features: Tensor, numbers: int, seed: int) -> Tensor:
    """Return s numbers z_rᵀ Ã w_r / √s, Ã the U-centred Gram matrix, z_r and w_r shared random signs.

    The inner product of two sketches with the same signs is an unbiased estimate of ⟨Ã, B̃⟩, with a standard error of
    about √((1 + ρ²)/s) in units of ‖Ã‖‖B̃‖. Each number mixes all examples; no activation is sent.

    Args:
        features: shape (n, units), or (n, positions, units); of fewer than four examples, or the same for all, the
            sketch is zero.
        numbers: s.
        seed: of the signs; sketches of different seeds cannot be compared.

    Returns:
        float32, shape (s,).

    References:
        Alon, Matias & Szegedy 1999, The Space Complexity of Approximating the Frequency Moments (random signs).

    Examples:
        >>> import torch
        >>> gram_sketch(torch.eye(6), 16, seed=0).shape
        torch.Size([16])
    """
    item = centred(features)
    if item.reason:
        return torch.zeros(numbers)
    count = len(item.rows)
    diagonal = item.squares + 2 * item.shift - item.constant
    generator = torch_generator(seed, f"gram-sketch/{count}")
    block = max(1, _BLOCK_BYTES // (16 * count))
    parts = []
    for start in range(0, numbers, block):
        width = min(block, numbers - start)
        z, w = (torch.randint(2, (width, count), generator=generator).mul_(2).sub_(1).double() for _ in range(2))
        products = ((z @ item.rows) * (w @ item.rows)).sum(1)
        sums = z.sum(1), w.sum(1)
        products += (z @ item.shift) * sums[1] + sums[0] * (w @ item.shift) - item.constant * sums[0] * sums[1]
        parts.append(products - (z * w) @ diagonal)
    found: Tensor = torch.cat(parts) / numbers**0.5
    return found.float()
