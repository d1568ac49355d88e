"""Hooks on a model that hear the attention weights of forward passes, whatever way its modules attend."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from metrics.training_dynamics.attention.capture import (
    Accessor,
    is_hugging_face,
    shaped,
    weights_of_hugging_face,
    weights_of_torch,
    weights_shown,
)
from metrics.training_dynamics.attention.hooks import Hook


class AttentionListener:
    """Tells a function the weights of each attention layer.

    Args:
        model: the model.
        heard: called with a layer's name and its weights, shape (n, H, Q, K).
        wants: says of a module's name whether this forward pass of it is to be looked at.
        accessor: see :class:`metrics.training_dynamics.attention.visualizer.AttentionVisualizer`.
        modules: names of the modules to look at; None for all.
        examples: how many examples of a batch are looked at.
    """

    def __init__(
        self,
        model: nn.Module,
        heard: Callable[[str, Tensor], None],
        wants: Callable[[str], bool] = lambda _: True,
        accessor: Accessor | None = None,
        modules: Iterable[str] | None = None,
        examples: int = 8,
    ) -> None:
        self._model, self._heard, self._wants = model, heard, wants
        self._accessor, self._examples = accessor, examples
        self._chosen = None if modules is None else list(modules)
        self._handles: list[RemovableHandle] = []
        self._nested: list[nn.TransformerEncoder] = []
        self._looking = False
        self._shown: list[ref[Tensor]] = []

    @property
    def is_listening(self) -> bool:
        """Whether there are hooks on the model."""
        return bool(self._handles)

    def start(self, look: Callable[..., None] | None = None) -> None:
        """Put hooks on the model; ``look`` is called in place of :meth:`look`, which it should call."""
        inside: list[str] = []
        for name, module in self._model.named_modules():
            # What lies inside a module that gives its weights as a whole is looked at there.
            if any(name.startswith(f"{whole}.") or whole == "" for whole in inside):
                continue
            if self._chosen is not None and name not in self._chosen:
                continue
            if self._accessor is None and is_hugging_face(module):
                inside.append(name)
            hook = Hook(partial(look or self.look, name))
            self._handles.append(module.register_forward_hook(hook, with_kwargs=True))
        # With a hook in them transformer layers leave their fused path, which nested tensors need.
        nested: list[Any] = [part for part in self._model.modules() if getattr(part, "use_nested_tensor", False)]
        self._nested = nested
        for part in self._nested:
            part.use_nested_tensor = False

    def stop(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        for part in self._nested:
            part.use_nested_tensor = True
        self._handles, self._nested = [], []

    def look(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Tell the weights of a forward pass."""
        # A second pass, by which some weights are had, calls the same hooks.
        if self._looking or torch.compiler.is_compiling() or not self._wants(name):
            return
        self._looking = True
        try:
            for layer, weights in self._weights(name, module, args, kwargs, output).items():
                self._heard(layer, weights.detach().float().cpu())
        finally:
            self._looking = False

    def _weights(
        self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> dict[str, Tensor]:
        """Return layer -> weights, shape (n, H, Q, K), of what a forward pass shows; empty if it attends to nothing."""
        if self._accessor is not None:
            given = self._accessor(module, args, output)
            return {} if given is None else {name: shaped(given, self._examples)}
        if isinstance(module, nn.MultiheadAttention):
            return {name: weights_of_torch(module, args, kwargs, self._examples)}
        if is_hugging_face(module):
            found = weights_of_hugging_face(module, args, kwargs, self._examples)
            return {f"{name}.{layer}" if name else layer: weights for layer, weights in found.items()}
        shown = weights_shown(module, output)
        # A module that hands on what a module inside it has given shows nothing of its own.
        self._shown = [given for given in self._shown if given() is not None]
        if shown is None or any(given() is shown for given in self._shown):
            return {}
        self._shown.append(ref(shown))
        return {name: shaped(shown, self._examples)}


def can_attend(model: nn.Module) -> bool:
    """Say whether any module of a model is known to attend, by its kind or name, before a forward pass has shown it."""
    kinds = [type(module).__name__.lower() for module in model.modules()]
    return is_hugging_face(model) or any("attention" in kind or "attn" in kind for kind in kinds)
