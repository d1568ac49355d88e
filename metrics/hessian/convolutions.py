"""Convolutions whose second derivatives cost no more than one layer's Hessian block needs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


class LeanConvolutions(TorchFunctionMode):
    """A context in which convolutions with the given weights record what the blocks' products need, and no more.

    Torch differentiates a convolution's backward pass with respect to all it is made of, also where nothing depends on
    the result: half of a product with the first layer of a small CNN. Within the block of one layer that runs once a
    forward pass, though, neither the layer's input nor any other layer's weight depends on its own weight. Call
    :meth:`ask` before each product.

    Args:
        layers: the parameters whose blocks will be asked for -> name of their layer.
    """

    def __init__(self, layers: Mapping[Tensor, str]) -> None:
        super().__init__()
        self._layers = {id(tensor): name for tensor, name in layers.items()}
        self._uses: Counter[str] = Counter()
        self._asked = _Asked()

    @property
    def any_shared(self) -> bool:
        """Whether a layer's parameters were used more than once, so that products would be wrong."""
        return any(uses > 1 for uses in self._uses.values())

    def ask(self, layer: str) -> None:
        """Say whose block is multiplied next."""
        self._asked.layer = layer

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a torch function; called for every one within the context."""
        given = kwargs or {}
        if getattr(func, "__name__", "") != "__get__":
            self._uses.update({self._layers[id(one)] for one in _flat((args, given)) if id(one) in self._layers})
        # The seven arguments that torch's modules give; a padding in words and images without a batch are rare.
        if func in _CONVOLUTIONS and len(args) == 7 and id(args[1]) in self._layers:
            features, weight, bias, stride, padding, dilation, groups = args
            if features.ndim == weight.ndim and not isinstance(padding, str):
                how = _How(stride, padding, dilation, groups, self._layers[id(weight)], self._asked)
                return _Convolution.apply(features, weight, bias, how)  # type: ignore[no-untyped-call]
        return func(*args, **given)


@dataclass
class _Asked:
    """The layer whose block is being multiplied."""

    layer: str = ""


@dataclass(frozen=True)
class _How:
    """A convolution's settings, and whose it is."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    layer: str
    asked: _Asked

    @property
    def _settings(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, False, (0,) * len(self.stride), self.groups

    def outputs(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution."""
        return torch.convolution(features, weight, bias, *self._settings)

    def input_slope(self, slope: Tensor, features: Tensor, weight: Tensor) -> Tensor:
        """Return the derivative by the input; of ``features`` only the shape matters."""
        found: Tensor = self._backward(slope, features, weight, [True, False, False])[0]
        return found

    def weight_slopes(self, slope: Tensor, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the derivatives by weight and bias; of ``weight`` only the shape matters."""
        found = self._backward(slope, features, weight, [False, True, True])
        return found[1], found[2]

    def _backward(self, slope: Tensor, features: Tensor, weight: Tensor, mask: list[bool]) -> Any:
        sizes = [weight.shape[0]]
        return torch.ops.aten.convolution_backward(slope, features, weight, sizes, *self._settings, mask)


class _Convolution(Function):
    """The convolution itself."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, how: _How) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.how = how
        return how.outputs(features, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        """Return the slopes, all and differentiable for the gradient, only what is on the way in a product."""
        features, weight = ctx.saved_tensors
        how: _How = ctx.how
        by_input = by_weight = by_bias = None
        if torch.is_grad_enabled():
            if ctx.needs_input_grad[0]:
                by_input = _InputSlope.apply(slope, features, weight, how)  # type: ignore[no-untyped-call]
            by_weight, by_bias = _WeightSlopes.apply(slope, features, weight, how)  # type: ignore[no-untyped-call]
        elif how.asked.layer == how.layer:
            by_weight, by_bias = how.weight_slopes(slope, features, weight)
        elif ctx.needs_input_grad[0]:
            by_input = how.input_slope(slope, features, weight)
        return by_input, by_weight, by_bias if ctx.needs_input_grad[2] else None, None


class _InputSlope(Function):
    """The derivative of the loss by a convolution's input, as a function of that by its output."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, features: Tensor, weight: Tensor, how: _How) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.how = how
        return how.input_slope(slope, features, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, direction: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        return ctx.how.outputs(direction, weight, None), None, None, None


class _WeightSlopes(Function):
    """The derivatives of the loss by a convolution's weight and bias, as a function of that by its output."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, features: Tensor, weight: Tensor, how: _How) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.how = how
        return how.weight_slopes(slope, features, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor, bias: Tensor) -> Any:
        (features,) = ctx.saved_tensors
        return ctx.how.outputs(features, weight, bias), None, None, None


def _flat(values: Any) -> Iterator[Any]:
    """Yield everything in nested arguments."""
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list | tuple):
        yield values
        return
    for value in values:
        yield from _flat(value)
