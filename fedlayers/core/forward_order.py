"""The layers of a model in the order in which a forward pass uses them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fedlayers.core.layers import ROOT, Layer, as_written, buffers_kept, layers_of, owns_parts
from fedlayers.core.seeding import global_state

# What asks a tensor for its size or type computes nothing with it.
_QUESTIONS = {"__get__", "__len__", "dim", "element_size", "is_complex", "is_floating_point", "numel", "size", "stride"}


def forward_layers(model: nn.Module, features: Tensor) -> tuple[Layer, ...]:
    """Return the layers of a model in the order of one forward pass, the same in every process.

    A module without further layers inside is used when it is called. One that owns parameters beside further layers
    (a class token of the model itself), or that is never called (the output projection of attention, a list of
    parameters), is used when an operation first takes one of its parameters, else when it is called. A layer that
    is not used keeps its place behind the layer that it is defined after.

    Args:
        model: in eval mode; it is left as found, buffers and global generators included.
        features: examples, shape (n, *shape), on the model's device.
    """
    layers = layers_of(model)
    uses = _first_uses(model, layers, features)
    places: dict[str, int] = {}
    place = 0
    for layer in layers:
        place = places[layer.name] = uses.get(layer.name, place)
    ordered = sorted(layers, key=lambda layer: places[layer.name])
    return tuple(replace(layer, index=index) for index, layer in enumerate(ordered))


def _first_uses(model: nn.Module, layers: Sequence[Layer], features: Tensor) -> dict[str, int]:
    """Return when each layer is first used, in steps from 1, without those that are not."""
    own = dict(model.named_parameters())
    watch = _Watch({id(own[name]): layer.name for layer in layers for name in layer.names})
    modules = {layer.name: model.get_submodule("" if layer.name == ROOT else layer.name) for layer in layers}
    handles = [part.register_forward_pre_hook(watch.hook(name)) for name, part in modules.items()]
    try:
        with left_alone(model), as_written(model), torch.no_grad(), watch:
            model(features)
    finally:
        for handle in handles:
            handle.remove()
    for layer in layers:
        if not owns_parts(layer, layers) and layer.name in watch.called:
            watch.taken[layer.name] = watch.called[layer.name]
    return {**watch.called, **watch.taken}


class _Watch(TorchFunctionMode):
    """Notes when modules are first called and when operations first take a parameter."""

    def __init__(self, owner_of: Mapping[int, str]) -> None:
        super().__init__()
        self.called: dict[str, int] = {}
        self.taken: dict[str, int] = {}
        self._owner_of, self._steps = owner_of, 0

    def hook(self, name: str) -> Any:
        """Return a hook that notes the first call of a layer's module."""

        def hook(_module: nn.Module, _inputs: Any) -> None:
            self._steps += 1
            self.called.setdefault(name, self._steps)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Note the parameters among the arguments and go on."""
        if getattr(func, "__name__", "") not in _QUESTIONS:
            self._steps += 1
            for name in self._owners([*args, *(kwargs or {}).values()]):
                self.taken.setdefault(name, self._steps)
        return func(*args, **(kwargs or {}))

    def _owners(self, values: Sequence[Any]) -> Iterator[str]:
        for value in values:
            if isinstance(value, list | tuple):
                yield from self._owners(value)
            elif id(value) in self._owner_of:
                yield self._owner_of[id(value)]


@contextmanager
def left_alone(model: nn.Module) -> Iterator[None]:
    """Put back afterwards what a block of code that runs a model changes: buffers, modes and global generators."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        with buffers_kept(model), global_state(0, "left alone"):
            yield
    finally:
        for part, mode in modes:
            part.training = mode
