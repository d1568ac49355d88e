"""Networks of one structure as one: their tensors are stacked along a leading axis, and nothing mixes."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

# How far apart outputs may be that differ by rounding alone, relative to the largest.
ROUNDING = 1e-3


def stacked_outputs(
    module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], features: Tensor
) -> Tensor:
    """Return the outputs (n, b, C) of n networks, each for features of its own (n, b, *shape).

    Args:
        module: their structure, in the mode in which they are to compute.
        parameters: name -> those of all networks, shape (n, …).
        buffers: likewise.
        features: see above.
    """

    def outputs(own: Mapping[str, Tensor], kept: Mapping[str, Tensor], batch: Tensor) -> Tensor:
        found: Tensor = functional_call(module, (dict(own), dict(kept)), (batch,))
        return found

    found: Tensor = vmap(outputs, randomness="error")(dict(parameters), dict(buffers), features)
    return found


def equal_but_rounding(found: Tensor, expected: Tensor) -> bool:
    """Say whether outputs are as expected, but for sums that were taken in another order."""
    rounding = ROUNDING * float(expected.nan_to_num().abs().max())
    return torch.allclose(found, expected, rtol=0, atol=rounding, equal_nan=True)
