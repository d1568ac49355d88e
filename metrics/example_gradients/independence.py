"""Whether the examples of a batch influence each other: then none has a gradient of its own."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

# Outputs that differ by less, relative to the largest of them, are equal up to rounding.
_TOLERANCE = 1e-2


def check_independent(module: nn.Module, features: Tensor) -> None:
    """Raise ValueError if per-example gradients of a module are not defined.

    Args:
        module: to be in evaluation mode.
        features: some examples, shape (n, *shape), n ≥ 1.

    Raises:
        ValueError: the module is in training mode, or examples influence each other.
    """
    if any(part.training for part in module.modules()):
        raise ValueError("module must be in evaluation mode, got training mode; call module.eval()")
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise ValueError(
                f"module must not mix examples, got batch norm {name!r} without running statistics; "
                "per-example gradients are not defined for it"
            )
    if examples_mix(module, features):
        raise ValueError(
            "examples must not influence each other, got a model that gives other outputs for two examples together "
            "than for each alone; per-example gradients are not defined for it"
        )


def examples_mix(module: nn.Module, features: Tensor) -> bool:
    """Say whether a model's outputs for two examples together are other than for each alone.

    Args:
        module: in evaluation mode. Outputs that are drawn at random cannot tell: False.
        features: shape (n, *shape), n ≥ 1; the first example and one that differs from it are taken.
    """
    different = [features[i : i + 1] for i in range(1, len(features)) if not torch.equal(features[i], features[0])]
    pair = torch.cat([features[:1], different[0] if different else torch.zeros_like(features[:1])])
    with torch.no_grad():
        together, alone = module(pair), torch.cat([module(pair[:1]), module(pair[1:])])
        most = float(together.nan_to_num().abs().max())
        if torch.allclose(together, alone, rtol=0.0, atol=_TOLERANCE * most, equal_nan=True):
            return False
        # Outputs that change by themselves say nothing about the examples.
        return torch.equal(together.nan_to_num(), module(pair).nan_to_num())
