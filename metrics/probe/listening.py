"""Hears what the layers of a model put out during a forward pass, each where its own parameters' work ends."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlayers.core.layers import ROOT, Layer, owns_parts

T = TypeVar("T")

# What is kept of a layer's output: (its name, the tensors it consists of, its module) -> anything.
Keep = Callable[[str, Sequence[Tensor], nn.Module], T]


def without_own_output(module: nn.Module, layers: Sequence[Layer]) -> dict[str, str]:
    """Return, for every layer whose parameters have no output of their own, the reason.

    A module that owns parameters beside further layers (a class token, positions, a temperature, a scale of a whole
    block) puts out those layers' work. Attention is none of these: see :func:`listening`.
    """
    reason = "its parameters have no output of their own: further layers lie inside of its module"
    return {
        layer.name: reason
        for layer in layers
        if owns_parts(layer, layers) and not _is_attention(_module_of(module, layer.name))
    }


@contextmanager
def listening(module: nn.Module, names: Sequence[str], keep: Keep[T]) -> Iterator[dict[str, list[T]]]:
    """Collect what layers put out while a block runs the model; the hooks are gone afterwards.

    ``nn.MultiheadAttention`` computes without calling its parts: queries, keys and values are heard for the layer
    that owns its input projections, and what it returns for its ``out_proj``.

    Args:
        module: the model.
        names: the layers to hear.
        keep: what to keep of each output. It is called at once, as the next operation may change the output in place,
            and given no tensors where the output is not one tensor.

    Yields:
        Layer name -> what was kept at each call, filled in as the block runs.
    """
    heard: dict[str, list[T]] = {name: [] for name in names}
    handles = [_listen(module, name, keep, kept) for name, kept in heard.items()]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def _listen(module: nn.Module, name: str, keep: Keep[T], kept: list[T]) -> Any:
    """Hang one layer's hook where its output is."""
    own, (parent, _, last) = _module_of(module, name), name.rpartition(".")

    def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
        # A module that returns several things (attention, a recurrent layer) means the first.
        tensor = output[0] if isinstance(output, tuple) and output else output
        kept.append(keep(name, [tensor] if isinstance(tensor, Tensor) else [], own))

    def before(attention: nn.MultiheadAttention, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        kept.append(keep(name, _projections(attention, inputs, named), own))

    if _is_attention(own):
        return own.register_forward_pre_hook(before, with_kwargs=True)
    if last == "out_proj" and _is_attention(_module_of(module, parent)):
        own = _module_of(module, parent)
    return own.register_forward_hook(after)


def _module_of(module: nn.Module, name: str) -> nn.Module:
    return module if name == ROOT else module.get_submodule(name)


def _is_attention(module: nn.Module) -> bool:
    """Say whether a module is torch's attention; a subclass with a forward pass of its own may do anything."""
    return isinstance(module, nn.MultiheadAttention) and type(module).forward is nn.MultiheadAttention.forward


def _projections(
    attention: nn.MultiheadAttention, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Tensor, ...]:
    """Return queries, keys and values, each (…, embed_dim), of all heads side by side."""
    given = {**dict(zip(("query", "key", "value"), inputs, strict=False)), **named}
    if attention.in_proj_weight is None:
        weights = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
    else:
        weights = attention.in_proj_weight.chunk(3)
    biases = (None,) * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
    with torch.no_grad():
        return tuple(
            F.linear(given[name], weight, bias)
            for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True)
        )
