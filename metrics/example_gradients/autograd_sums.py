"""Sums of the gradients of a batch's examples as autograd gives them, by name."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call


def sums_by_autograd(
    module: nn.Module, names: Sequence[str], loss: Callable[[Tensor, Tensor], Tensor], features: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Return Σ_i g_i of the named parameters as autograd gives it."""
    leaves = leaves_of(module, names)
    with torch.enable_grad():
        return differentiated(loss(functional_call(module, leaves, (features,)), labels).sum(), leaves) if names else {}


def leaves_of(module: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the named parameters, each by itself, to be differentiated by."""
    parameters = dict(module.named_parameters())
    return {name: parameters[name].detach().requires_grad_() for name in names}


def differentiated(total: Tensor, leaves: Mapping[str, Tensor], more: Sequence[Tensor] = ()) -> dict[str, Tensor]:
    """Return the gradients of a total by name; ``more`` is differentiated by besides.

    Examples:
        >>> weight = torch.tensor([3.0], requires_grad=True)
        >>> differentiated(weight.square().sum(), {"weight": weight})
        {'weight': tensor([6.])}
    """
    if not leaves:
        return {}
    gradients = torch.autograd.grad(total, [*leaves.values(), *more], allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, gradients, strict=False))
