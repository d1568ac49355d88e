"""Gradients of several clients' losses with one graph behind them, and products with their Hessians at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedlayers.core.cohorts.meeting import meet
from fedlayers.core.cohorts.memory import does_not_fit
from fedlayers.core.layers import Layer
from metrics.cohorts.batches import MeasuredBatch, measured_batches
from metrics.cohorts.jobs import MeasuringJob, done
from metrics.cohorts.models import Models
from metrics.hessian.products import GradientGraph, by_parameter, differentiated_again, shares_work
from metrics.hessian.twice import OnceDifferentiable
from metrics.views import ClientView


class LossGraph(Protocol):
    """The gradient of one client's loss on a batch, and products with its Hessian: see :class:`GradientGraph`."""

    loss: float

    def is_used(self, layer: Layer) -> bool:
        """Say whether the loss depends on any of a layer's parameters."""
        ...

    def gradients(self, layer: Layer) -> list[Tensor]:
        """Return the gradient of every parameter of a layer."""
        ...

    def product(self, layer: Layer, vectors: Sequence[Tensor], names: Sequence[str] | None = None) -> list[Tensor]:
        """Return the product of a layer's Hessian block, or that of some of its parameters, with a vector."""
        ...

    def products(self, layer: Layer, vectors: Tensor) -> Tensor:
        """Return the products of a layer's Hessian block with several vectors (k, d)."""
        ...


def loss_graph(view: ClientView, scope: str, chosen: Tensor) -> LossGraph:
    """Return the gradient of a client's mean loss on a batch, with the graph that differentiates it once more.

    Clients side by side build one graph, and ask it for products at once: each product costs all of them as much, and
    is meant for clients that ask for the same at the same time.

    Args:
        view: the client.
        scope: a key of ``view.data``.
        chosen: positions of the batch's examples.
    """
    return done(_Graphing(view, scope, chosen))


class _Graphing(MeasuringJob[LossGraph]):
    """The graph of one batch of a client's examples."""

    def __init__(self, view: ClientView, scope: str, chosen: Tensor) -> None:
        super().__init__(view, len(chosen))
        self.examples, self.chosen = view.data[scope], chosen

    @property
    def kind(self) -> object:
        return [layer.name for layer in self.view.layers]

    @property
    def pays(self) -> bool:
        # A CPU is as fast with a graph for each client, and with lean convolutions faster.
        return self.view.device.type != "cpu"

    def alone(self) -> LossGraph:
        view = self.view
        features, labels = self.examples.batch(self.chosen)
        return GradientGraph(view.module, view.layers, features.to(view.device), labels.to(view.device), view.objective)

    @classmethod
    def together(cls, jobs: Sequence[Self]) -> Sequence[LossGraph]:
        view = jobs[0].view
        examples, chosen = [job.examples for job in jobs], [job.chosen for job in jobs]
        (batch,) = measured_batches(examples, chosen, [jobs[0].size], view.device)
        graph = StackedGraph(Models.of([job.view for job in jobs]), view.layers, batch)
        return [_Part(graph, place) for place in range(len(jobs))]


class StackedGraph:
    """The gradients of K clients' mean losses, one batch each, with the graph that differentiates them once more.

    Args:
        models: the clients' models.
        layers: their layers.
        batch: what the losses are of.
    """

    def __init__(self, models: Models, layers: Sequence[Layer], batch: MeasuredBatch) -> None:
        self.clients = len(batch.counts)
        self.weights = {name: models.parameters[name].requires_grad_() for layer in layers for name in layer.names}
        counts = torch.tensor(batch.counts, device=batch.labels.device)
        # The fused attention kernels cannot be differentiated twice.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            outputs = models.outputs(batch.features)
            losses = models.losses(outputs, batch.labels, batch.counts).sum(1) / counts
            total = losses.sum()
            functions = OnceDifferentiable(total)
            found = torch.autograd.grad(total, list(self.weights.values()), create_graph=True, allow_unused=True)
        # What hides second derivatives is found, and told, by each client alone.
        assert not functions.behind(self.weights)
        self.gradients = dict(zip(self.weights, found, strict=True))
        self.losses = losses.tolist()

    def products(self, names: Sequence[str], vectors: Sequence[Tensor], *, batched: bool) -> list[Tensor]:
        """Return H v of every client, for the parameters with these names.

        Args:
            names: which.
            vectors: v of all clients, of each parameter, shape (k, K, *shape).
            batched: whether the k products share their work; if they do not fit into memory, they are taken singly.
        """
        slopes, weights = ([tensors[name] for name in names] for tensors in (self.gradients, self.weights))
        if batched:
            try:
                return differentiated_again(slopes, weights, vectors, batched=True)
            except Exception as error:
                if not does_not_fit(error):
                    raise
        rows = [differentiated_again(slopes, weights, own, batched=False) for own in zip(*vectors, strict=True)]
        return [torch.stack(parts) for parts in zip(*rows, strict=True)]


class _Part:
    """One client's part of a graph."""

    def __init__(self, graph: StackedGraph, place: int) -> None:
        self.graph, self.place = graph, place
        self.loss: float = graph.losses[place]

    def is_used(self, layer: Layer) -> bool:
        return any(self.graph.gradients[name] is not None for name in layer.names)

    def gradients(self, layer: Layer) -> list[Tensor]:
        found = [(self.graph.gradients[name], self.graph.weights[name][self.place]) for name in layer.names]
        return [torch.zeros_like(own.detach()) if slope is None else slope[self.place].detach() for slope, own in found]

    def product(self, layer: Layer, vectors: Sequence[Tensor], names: Sequence[str] | None = None) -> list[Tensor]:
        found = self._asked(layer, tuple(layer.names if names is None else names), [v.unsqueeze(0) for v in vectors])
        return [own.squeeze(0) for own in found]

    def products(self, layer: Layer, vectors: Tensor) -> Tensor:
        found = self._asked(layer, layer.names, by_parameter(layer, vectors))
        return torch.cat([own.flatten(1) for own in found], 1)

    def _asked(self, layer: Layer, names: tuple[str, ...], vectors: Sequence[Tensor]) -> list[Tensor]:
        count = len(vectors[0])
        request = _Request(self.graph, self.place, names, vectors, shares_work(layer, count))
        return meet(request, _answered, kind=(id(self.graph), names, count))


@dataclass(frozen=True)
class _Request:
    """The products that one client asks for, with vectors (k, *shape)."""

    graph: StackedGraph
    place: int
    names: Sequence[str]
    vectors: Sequence[Tensor]
    batched: bool


def _answered(requests: Sequence[_Request]) -> list[list[Tensor]]:
    """Return each client's products; of clients that ask for nothing the vectors are 0."""
    first = requests[0]
    stacked = [own.new_zeros(len(own), first.graph.clients, *own.shape[1:]) for own in first.vectors]
    for request in requests:
        for tensor, own in zip(stacked, request.vectors, strict=True):
            tensor[:, request.place] = own
    found = first.graph.products(first.names, stacked, batched=first.batched)
    return [[tensor[:, request.place] for tensor in found] for request in requests]
