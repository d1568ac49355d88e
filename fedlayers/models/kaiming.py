"""Kaiming initialisation, as PLayer-FL's networks use it."""

from torch import nn


def kaiming_normal(module: nn.Module) -> None:
    """Draw the weights of linear and convolutional layers from N(0, 2 / fan_in) and set their biases to 0.

    Args:
        module: the network, changed in place; draws come from torch's global generator.

    References:
        He et al. 2015, Delving deep into rectifiers, arXiv:1502.01852.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
