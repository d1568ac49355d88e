"""A network that is trained: a module that computes with given tensors in place of its own."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

Weights = Mapping[str, Tensor]
T = TypeVar("T")


@dataclass(frozen=True)
class Network:
    """A module, and the tensors with which it computes while it is held.

    Attributes:
        module: its own tensors stay as they are, and so does its mode; dropout draws from torch's global generator.
        parameters: name -> weights, all names of ``module.named_parameters()``; training changes them in place.
        buffers: name -> buffers, all names of ``module.named_buffers()``; training changes them in place.
    """

    module: nn.Module
    parameters: Weights
    buffers: Weights

    def __call__(self, features: Tensor) -> Tensor:
        """Return the outputs (b, classes) for features (b, *shape), while the network is held."""
        outputs: Tensor = self.module(features)
        return outputs

    def twin(self, parameters: Weights, buffers: Weights) -> "Network":
        """Return another network of the same structure, to be trained beside this one; no tensor is copied."""
        shared = {id(tensor): tensor for tensor in (*self.module.parameters(), *self.module.buffers())}
        return Network(copy.deepcopy(self.module, shared), parameters, buffers)

    def held(self, block: Callable[[], T]) -> T:
        """Return what a block returns in which the module computes with the given tensors.

        One ``functional_call`` around the whole loop instead of one a batch: the loss of a batch is the same function
        of parameters, buffers and batch, and tensors are swapped once.
        """
        given = {f"module.{name}": tensor for name, tensor in {**self.parameters, **self.buffers}.items()}
        result: T = functional_call(_Body(self.module), given, (block,), strict=True)
        for name, tensor in self.buffers.items():
            # A module may replace a buffer instead of changing it.
            if given[f"module.{name}"] is not tensor:
                tensor.copy_(given[f"module.{name}"])
        return result


def hold(networks: Sequence[Network], block: Callable[[], T]) -> T:
    """Return what a block returns in which all of some networks are held."""
    return networks[0].held(lambda: hold(networks[1:], block)) if networks else block()


@contextmanager
def training_mode(modules: Sequence[nn.Module], frozen_norms: bool) -> Iterator[None]:
    """Put modules into training mode for a block of code.

    Args:
        modules: all modules.
        frozen_norms: whether batch normalisation uses its running statistics and keeps them.
    """
    before = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.train()
        for norm in batch_norms(module) if frozen_norms else ():
            norm.eval()
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """Return the parts that use the statistics of a batch, which take two examples."""
    return [part for part in module.modules() if isinstance(part, _BatchNorm)]


@contextmanager
def leaves(tensors: Sequence[Tensor]) -> Iterator[None]:
    """Let tensors require gradients for a block of code."""
    before = [tensor for tensor in tensors if not tensor.requires_grad]
    for tensor in before:
        tensor.requires_grad_(True)
    try:
        yield
    finally:
        for tensor in before:
            tensor.requires_grad_(False)


class _Body(nn.Module):
    """A module whose forward pass is any block of code that uses the module inside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, block: Callable[[], T]) -> T:
        return block()
