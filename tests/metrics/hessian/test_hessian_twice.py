"""Custom functions whose second derivatives autograd would lose without a word."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fedlayers.core.layers import layers_of
from metrics.hessian.products import GradientGraph

ROWS = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


class Tanh(torch.autograd.Function):
    """Differentiable as often as one likes."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        return inputs.tanh()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (inputs,) = ctx.saved_tensors
        found: Tensor = slope * (1 - inputs.tanh().square())
        return found


class MarkedTanh(Tanh):
    """Says that it is differentiable once."""

    backward = staticmethod(once_differentiable(Tanh.backward))  # type: ignore[assignment]


class NumpyTanh(Tanh):
    """Leaves torch on the way back."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return torch.from_numpy(Tanh.backward(ctx, slope).detach().numpy())


class Network(nn.Module):
    """A layer before the function and one after it."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function, self.first, self.last = function, nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.last(self.function(self.first(features)))
        return logits


def graph_of(function: Any) -> tuple[GradientGraph, list[Any], list[Tensor]]:
    module = Network(function).eval()
    layers = layers_of(module)
    vectors = [tensor.detach().clone() for tensor in module.first.parameters()]
    return GradientGraph(module, layers, ROWS, LABELS), list(layers), vectors


def test_a_function_that_can_be_differentiated_twice_is_exact() -> None:
    own, layers, vectors = graph_of(Tanh.apply)
    plain, _, _ = graph_of(torch.tanh)
    for found, expected in zip(own.product(layers[0], vectors), plain.product(layers[0], vectors), strict=True):
        torch.testing.assert_close(found, expected)
        assert float(expected.norm()) > 1e-3


@pytest.mark.parametrize("function", [MarkedTanh, NumpyTanh])
def test_what_lies_behind_one_that_cannot_is_refused_and_the_rest_is_there(function: Any) -> None:
    graph, layers, vectors = graph_of(function.apply)
    with pytest.raises(RuntimeError, match=f"the custom function {function.__name__} cannot be differentiated twice"):
        graph.product(layers[0], vectors)
    with pytest.raises(RuntimeError, match="cannot be differentiated twice"):
        graph.products(layers[0], torch.ones(1, 24))
    plain, _, _ = graph_of(torch.tanh)
    vectors = [torch.ones(3, 4), torch.ones(3)]
    for found, expected in zip(graph.product(layers[1], vectors), plain.product(layers[1], vectors), strict=True):
        torch.testing.assert_close(found, expected)
