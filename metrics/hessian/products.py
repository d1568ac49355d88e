"""Hessian-vector products of single layers, all from one retained graph of the gradient."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedlayers.core.layers import Layer
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from metrics.hessian.convolutions import LeanConvolutions
from metrics.hessian.twice import OnceDifferentiable


class GradientGraph:
    """The gradient of one batch's mean loss, with the graph that differentiates it once more.

    The graph is built once; the product of a layer's Hessian block with a vector then walks only the part of the graph
    behind that layer: a product for every layer together costs about one gradient, where building the graph for each
    costs three. It holds the batch's intermediate values in memory as long as this object lives.

    Args:
        module: the model as it is to be measured, in eval mode; it is left as found.
        layers: its layers.
        features: shape (n, *shape), on the model's device.
        labels: shape (n,), int64.
        objective: whose loss it is.

    References:
        Pearlmutter 1994, Fast Exact Multiplication by the Hessian, Neural Computation 6.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[Layer],
        features: Tensor,
        labels: Tensor,
        objective: Objective = CROSS_ENTROPY,
    ) -> None:
        own = dict(module.named_parameters())
        self._weights = {name: own[name].detach().requires_grad_() for layer in layers for name in layer.names}
        own_layer = {self._weights[name]: layer.name for layer in layers for name in layer.names}
        self._convolutions = LeanConvolutions(own_layer)
        # The fused attention kernels cannot be differentiated twice.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            with self._convolutions:
                logits = functional_call(module, self._weights, (features,))
            if self._convolutions.any_shared:
                logits = functional_call(module, self._weights, (features,))
            loss = objective.mean(logits, labels)
            functions = OnceDifferentiable(loss)
            found = torch.autograd.grad(loss, list(self._weights.values()), create_graph=True, allow_unused=True)
        self._gradients = dict(zip(self._weights, found, strict=True))
        self._hidden_by = functions.behind(self._weights)
        self.loss = float(loss.detach())

    def is_used(self, layer: Layer) -> bool:
        """Say whether the loss depends on any of a layer's parameters."""
        return any(self._gradients[name] is not None for name in layer.names)

    def gradients(self, layer: Layer) -> list[Tensor]:
        """Return the gradient of every parameter of a layer, zero where the loss does not depend on it."""
        found = [(self._gradients[name], self._weights[name]) for name in layer.names]
        return [torch.zeros_like(weight) if slope is None else slope.detach() for slope, weight in found]

    def product(self, layer: Layer, vectors: Sequence[Tensor], names: Sequence[str] | None = None) -> list[Tensor]:
        """Return H v, H the Hessian block of a layer's parameters.

        Args:
            layer: the layer.
            vectors: v, one tensor for each parameter, in its shape.
            names: the parameters that make up the block; all of the layer's if not given.
        """
        self._convolutions.ask(layer.name)
        return self._product(layer.names if names is None else names, vectors, batched=False)

    def products(self, layer: Layer, vectors: Tensor) -> Tensor:
        """Return the products of a layer's Hessian block with several vectors.

        Args:
            layer: the layer.
            vectors: shape (k, d), each the layer's parameters flattened side by side, d numbers in all.

        Returns:
            Shape (k, d).
        """
        self._convolutions.ask(layer.name)
        shaped = by_parameter(layer, vectors)
        if shares_work(layer, len(vectors)):
            found = self._product(layer.names, shaped, batched=True)
            return torch.cat([part.flatten(1) for part in found], 1)
        rows = [
            self._product(layer.names, [part[row] for part in shaped], batched=False) for row in range(len(vectors))
        ]
        return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])

    def _product(self, names: Sequence[str], vectors: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        hiding = sorted({self._hidden_by[name] for name in names if name in self._hidden_by})
        if hiding:
            raise RuntimeError(f"the custom function {hiding[0]} cannot be differentiated twice")
        slopes, weights = ([tensors[name] for name in names] for tensors in (self._gradients, self._weights))
        return differentiated_again(slopes, weights, vectors, batched=batched)


def by_parameter(layer: Layer, vectors: Tensor) -> list[Tensor]:
    """Return vectors (k, d) of a layer's d numbers as one tensor (k, *shape) for each of its parameters."""
    parts = torch.split(vectors, [math.prod(parameter.shape) for parameter in layer.parameters], dim=1)
    return [part.reshape(-1, *own.shape) for part, own in zip(parts, layer.parameters, strict=True)]


def shares_work(layer: Layer, count: int) -> bool:
    """Say whether several products are faster together: a convolution's would take up to twice as long."""
    return layer.kind == "linear" and count > 1


def differentiated_again(
    gradients: Sequence[Tensor | None], weights: Sequence[Tensor], vectors: Sequence[Tensor], *, batched: bool
) -> list[Tensor]:
    """Return H v, H the second derivatives by some weights.

    Args:
        gradients: by each of the weights, with their graph, which is kept; None where nothing depends on it.
        weights: leaves of that graph.
        vectors: v, one tensor for each weight, in its shape.
        batched: whether vectors have a further axis in front, of several v.

    Examples:
        >>> weight = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> (slope,) = torch.autograd.grad((weight**3).sum(), weight, create_graph=True)
        >>> differentiated_again([slope], [weight], [torch.tensor([1.0, 10.0])], batched=False)[0].tolist()
        [6.0, 120.0]
    """
    # A gradient without a graph is constant: its derivative is zero.
    pairs = zip(gradients, vectors, strict=True)
    live = [(slope, vector) for slope, vector in pairs if slope is not None and slope.requires_grad]
    if not live:
        return [torch.zeros_like(vector) for vector in vectors]
    found = torch.autograd.grad(
        [slope for slope, _ in live],
        list(weights),
        [vector for _, vector in live],
        retain_graph=True,
        allow_unused=True,
        is_grads_batched=batched,
    )
    # Zeros as torch makes them lack the axis of the batch.
    return [torch.zeros_like(like) if own is None else own for own, like in zip(found, vectors, strict=True)]
