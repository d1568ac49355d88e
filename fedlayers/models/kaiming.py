"""Kaiming initialisation, for layers that a ReLU follows."""

from collections.abc import Callable

from torch import Tensor, nn


def kaiming_normal(module: nn.Module) -> None:
    """Draw the weights of linear and convolutional layers from N(0, 2 / fan_in) and set their biases to 0.

    Args:
        module: the network, changed in place; draws come from torch's global generator.

    References:
        He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852.
    """
    _draw(module, nn.init.kaiming_normal_)


def kaiming_uniform(module: nn.Module) -> None:
    """Do as :func:`kaiming_normal`, but draw from the uniform distribution with the same variance."""
    _draw(module, nn.init.kaiming_uniform_)


def _draw(module: nn.Module, fill: Callable[[Tensor], Tensor]) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            fill(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
