"""Layers: the ordered, named units of a model through which every feature addresses its parameters."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

ROOT = "(model)"

# The first class that matches names the kind. _NormBase: batch and instance norm; _ConvNd: also transposed.
_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("linear", (nn.Linear,)),
    ("conv", (_ConvNd,)),
    ("norm", (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)),
    ("embedding", (nn.Embedding, nn.EmbeddingBag)),
    ("attention", (nn.MultiheadAttention,)),
)
# Modules whose weights have the axis of the inputs before that of the outputs.
_INPUTS_FIRST = (_ConvTransposeNd, nn.Embedding, nn.EmbeddingBag)
_ATTENTION_ROLES = {
    "in_proj_weight": "weight",
    "q_proj_weight": "weight",
    "k_proj_weight": "weight",
    "v_proj_weight": "weight",
    "in_proj_bias": "bias",
}


class ComplexPair(nn.Module):
    """Makes a complex parameter of two real ones, for :mod:`torch.nn.utils.parametrize`."""

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return real + i · imaginary."""
        return torch.complex(real, imaginary)

    def right_inverse(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part."""
        return value.real.contiguous(), value.imag.contiguous()


@dataclass(frozen=True)
class Parameter:
    """One parameter of a layer: its full name in the model, its role, its shape and the axis of its output units.

    ``role`` is one of ``weight``, ``bias``, ``norm_weight``, ``norm_bias``, ``other``. It follows from the
    module's type and its attribute's name, never from a shape or from the layer's name, and so does ``unit_axis``:
    the axis of ``shape`` that counts the layer's outputs, 1 in transposed convolutions and embeddings, else 0.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    unit_axis: int = 0


@dataclass(frozen=True)
class Layer:
    """One module that owns parameters.

    Attributes:
        name: the module's path in the model, such as ``"stage1.0.conv1"``.
        index: its place in the order of the forward pass, from 0.
        kind: ``linear``, ``conv``, ``norm``, ``embedding``, ``attention`` or the class in lower case.
        group: the layer group: the first part of the path (the layer itself if the path has one part).
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

    @property
    def weights(self) -> tuple[Parameter, ...]:
        """The parameters that are no biases (roles other than ``bias`` and ``norm_bias``) and hold numbers."""
        return tuple(p for p in self.parameters if not p.role.endswith("bias") and 0 not in p.shape)


def layers_of(model: nn.Module) -> tuple[Layer, ...]:
    """Return the layers of a model: one for each module that owns parameters itself, in order of definition.

    A parameter that two modules share (tied weights) belongs to the first. What
    ``torch.nn.utils.parametrize`` hangs below a module belongs to that module. Parameters of the model itself
    form the layer ``(model)``. :func:`fedlayers.core.forward_order.forward_layers` puts them in the order of use.

    Args:
        model: any torch module; the networks of this package define their layers in forward order.

    Returns:
        The layers; together they hold every name of ``model.named_parameters()`` exactly once.
    """
    modules = dict(model.named_modules())
    owned: dict[str, list[Parameter]] = {}
    for name, tensor in model.named_parameters():
        owner = _owner(name, modules)
        role = _role(modules[owner], name.removeprefix(f"{owner}."))
        axis = 1 if role == "weight" and isinstance(modules[owner], _INPUTS_FIRST) else 0
        owned.setdefault(owner, []).append(Parameter(name, role, tuple(tensor.shape), axis))
    buffers: dict[str, list[str]] = {}
    for name, _ in model.named_buffers():
        buffers.setdefault(_owner(name, modules), []).append(name)
    return tuple(
        Layer(
            name=owner or ROOT,
            index=index,
            kind=_kind(modules[owner]),
            group=owner.split(".")[0] or ROOT,
            parameters=tuple(owned[owner]),
            buffers=tuple(buffers.get(owner, ())),
        )
        for index, owner in enumerate(path for path in modules if path in owned)
    )


def owns_parts(layer: Layer, layers: Sequence[Layer]) -> bool:
    """Say whether further layers lie inside a layer's module: what it puts out is then not its own parameters' work."""
    inside = "" if layer.name == ROOT else f"{layer.name}."
    return any(other.name != layer.name and other.name.startswith(inside) for other in layers)


def total(layers: Sequence[Layer]) -> int:
    """Return the number of parameters (scalars, not tensors) in the layers."""
    return sum(math.prod(parameter.shape) for layer in layers for parameter in layer.parameters)


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put a model's buffers back after a block of code, whether they were changed or replaced by others."""
    before = [
        (part, name, tensor, tensor.detach().clone())
        for part in model.modules()
        for name, tensor in part.named_buffers(recurse=False)
        if not is_lazy(tensor)
    ]
    try:
        yield
    finally:
        with torch.no_grad():
            for part, name, tensor, content in before:
                part._buffers[name] = tensor
                tensor.copy_(content)


def as_written(model: nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which what ``torch.compile`` made of a model runs uncompiled.

    Compiled code is differentiated once and no more, and hides its parts.
    """
    return torch.compiler.set_stance("force_eager") if is_compiled(model) else nullcontext()


def is_compiled(model: nn.Module) -> bool:
    """Say whether ``torch.compile`` made any part of a model."""
    return any(
        type(part).__name__ == "OptimizedModule" or getattr(part, "_compiled_call_impl", None) is not None
        for part in model.modules()
    )


def _owner(name: str, modules: dict[str, nn.Module]) -> str:
    """Return the path of the module a tensor belongs to, looking through parametrizations."""
    parts = name.split(".")
    for end, part in enumerate(parts):
        path = ".".join(parts[:end])
        if part == "parametrizations" and path in modules and parametrize.is_parametrized(modules[path]):
            return path
    return ".".join(parts[:-1])


def _kind(module: nn.Module) -> str:
    for kind, classes in _KINDS:
        if isinstance(module, classes):
            return kind
    return parametrize.type_before_parametrizations(module).__name__.lower()


def _role(module: nn.Module, attribute: str) -> str:
    """Return the role of a parameter from its module's type and its attribute's name in the module."""
    # A reparametrized tensor keeps its role; the parts of one that is split in several have none.
    if attribute.startswith("parametrizations."):
        attribute = attribute.removeprefix("parametrizations.").removesuffix(".original")
        tensor, _, half = attribute.partition(".")
        if half and isinstance(getattr(module.parametrizations, tensor)[0], ComplexPair):
            attribute = tensor
    if "." in attribute:
        return "other"
    if isinstance(module, nn.MultiheadAttention):
        return _ATTENTION_ROLES.get(attribute, "other")
    if isinstance(module, nn.RNNBase):
        return attribute.split("_")[0]
    if attribute not in ("weight", "bias"):
        return "other"
    return f"norm_{attribute}" if _kind(module) == "norm" else attribute
