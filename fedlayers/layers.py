"""Layers: the ordered, named units of a model through which every feature addresses its parameters."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Parameter:
    """One parameter of a layer: its full name in the model, its role and its shape.

    ``role`` is one of ``weight``, ``bias``, ``norm_weight``, ``norm_bias``, ``other``.
    """

    name: str
    role: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One module that owns parameters.

    Attributes:
        name: the module's path in the model, such as ``"stage1.0.conv1"``.
        index: its place in the order of the forward pass' definition, from 0.
        kind: ``linear``, ``conv``, ``norm``, ``embedding``, ``attention`` or the module's class name in lower case.
        group: the layer group it belongs to: the first part of its path (the layer itself if the path has one part).
        parameters: in the order of the module.
        buffers: full names of the module's buffers (batch norm's statistics).
    """

    name: str
    index: int
    kind: str
    group: str
    parameters: tuple[Parameter, ...]
    buffers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Full names of all parameters."""
        return tuple(parameter.name for parameter in self.parameters)


def layers_of(model: nn.Module) -> tuple[Layer, ...]:
    """Return the layers of a model."""
    raise NotImplementedError


def total(layers: Sequence[Layer]) -> int:
    """Return the number of parameters in the layers."""
    raise NotImplementedError
