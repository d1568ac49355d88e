"""Per-example gradients of any parameters, by running the whole model once for each example."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedlayers.core.layers import Layer

# Numbers of materialised gradients held at a time.
_BUDGET = 1 << 24

GradientsByName = dict[str, Tensor]


def replayed_gradients(
    module: nn.Module,
    layers: Sequence[Layer],
    features: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    directions: Mapping[str, Tensor],
) -> tuple[GradientsByName, GradientsByName, GradientsByName]:
    """Return sums, squared norms and inner products of the per-example gradients of any layers, whatever computes them.

    Exact for attention, embeddings, tied weights, parameters used outside of their module: the gradients of
    slices of the examples are formed by ``vmap(grad)``; a model that vmap cannot transform is run example by
    example. Costs several times a backward pass; :class:`metrics.example_gradients.per_example.ExamplePass` avoids it
    where it can.

    Args:
        module: in evaluation mode; maps features (1, *shape) to outputs (1, …).
        layers: the layers to measure.
        features: shape (n, *shape).
        labels: shape (n,).
        loss: (outputs, labels) -> one loss an example.
        directions: parameter name -> v in its shape; empty for no inner products.

    Returns:
        Parameter name -> sum over examples; layer name -> squared norms (n,), float64; layer name -> ⟨g_i, v⟩ (n,),
        float64, empty without directions.
    """
    parameters = dict(module.named_parameters())
    chosen = {name: parameters[name].detach() for layer in layers for name in layer.names}

    def example_loss(weights: GradientsByName, example: Tensor, label: Tensor) -> Tensor:
        outputs = functional_call(module, weights, (example.unsqueeze(0),))
        return loss(outputs, label.unsqueeze(0)).sum()

    step = max(1, _BUDGET // max(1, sum(math.prod(tensor.shape) for tensor in chosen.values())))
    sums = {name: torch.zeros_like(tensor) for name, tensor in chosen.items()}
    squares: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    products: dict[str, list[Tensor]] = {layer.name: [] for layer in layers if directions}
    for start in range(0, len(features), step):
        part = slice(start, start + step)
        gradients = _gradients(example_loss, chosen, features[part], labels[part])
        for name, tensor in gradients.items():
            sums[name] += tensor.sum(0)
        for layer in layers:
            rows = {name: _rows(gradients[name]) for name in layer.names}
            norms = [row.square().sum(1, dtype=torch.float64) for row in rows.values()]
            squares[layer.name].append(torch.stack(norms).sum(0))
            if directions:
                along = [row @ directions[name].flatten() for name, row in rows.items()]
                products[layer.name].append(torch.stack(along).double().sum(0))
    return sums, _joined(squares), _joined(products)


def _rows(gradients: Tensor) -> Tensor:
    """Return the gradients of one parameter, (n, *shape), with a row an example, also of one number without axes."""
    return gradients.flatten(1) if gradients.ndim > 1 else gradients.unsqueeze(1)


def _joined(parts: Mapping[str, Sequence[Tensor]]) -> GradientsByName:
    return {name: torch.cat(list(found)) for name, found in parts.items()}


def _gradients(
    example_loss: Callable[[GradientsByName, Tensor, Tensor], Tensor],
    weights: GradientsByName,
    features: Tensor,
    labels: Tensor,
) -> GradientsByName:
    """Return the gradients of all examples, name -> (n, *shape)."""
    try:
        # Only the plain implementation of attention has a batching rule.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            found: GradientsByName = vmap(grad(example_loss), in_dims=(None, 0, 0))(weights, features, labels)
            return found
    except (RuntimeError, NotImplementedError, ValueError):
        # Data-dependent control flow, operators without a batching rule: slower, equally exact.
        return _one_by_one(example_loss, weights, features, labels)


def _one_by_one(
    example_loss: Callable[[GradientsByName, Tensor, Tensor], Tensor],
    weights: GradientsByName,
    features: Tensor,
    labels: Tensor,
) -> GradientsByName:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    rows = []
    for example, label in zip(features, labels, strict=True):
        with torch.enable_grad():
            value = example_loss(leaves, example, label)
            rows.append(torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True))
    return {name: torch.stack(column) for name, column in zip(leaves, zip(*rows, strict=True), strict=True)}
