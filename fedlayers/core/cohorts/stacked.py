"""Networks of one structure as one: their tensors are stacked along a leading axis, and nothing mixes."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fedlayers.core.attention_kernels import unfused_attention

# How far apart outputs may be that differ by rounding alone, relative to the largest.
ROUNDING = 1e-3
# Whether a network has torch's attention: looked for once, for every step would pay.
_attends: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


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

    with _stackable(module):
        found: Tensor = vmap(outputs, randomness="error")(dict(parameters), dict(buffers), features)
    return found


def _stackable(module: nn.Module) -> AbstractContextManager[None]:
    """Return a context in which what the network is made of can be stacked without a loop over networks."""
    if module not in _attends:
        _attends[module] = any(isinstance(part, nn.MultiheadAttention) for part in module.modules())
    return unfused_attention() if _attends[module] else nullcontext()


def equal_but_rounding(found: Tensor, expected: Tensor) -> bool:
    """Say whether outputs are as expected, but for sums that were taken in another order."""
    rounding = ROUNDING * float(expected.nan_to_num().abs().max())
    return torch.allclose(found, expected, rtol=0, atol=rounding, equal_nan=True)
