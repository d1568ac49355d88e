"""Per-example gradients of the models of several clients at once, by the formulas of a model by itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from metrics.cohorts.batches import MeasuredBatch
from metrics.cohorts.models import Models
from metrics.example_gradients.gradient_statistics import KEPT_BYTES, GradientSample
from metrics.example_gradients.layer_gradients import FORMULAS
from metrics.example_gradients.products import along, full_name


@dataclass(frozen=True)
class StackedTaps:
    """What passed the layers of k models.

    Attributes:
        inputs: layer name -> its inputs, shape (k, b, …).
        gradients: layer name -> the gradients at its outputs, shape (k, b, …), 0 for examples that only fill up.
    """

    inputs: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    @property
    def size_bytes(self) -> int:
        """What they keep in memory."""
        return sum(tensor.nbytes for kept in (self.inputs, self.gradients) for tensor in kept.values())


class StackedPass:
    """Computes the gradients of every example of several clients, batch by batch.

    Args:
        models: the clients' models, all layers of which have a formula.
        shapes: layer name -> the shape of its output for one example.
    """

    def __init__(self, models: Models, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.models, self.shapes = models, shapes
        self.parts = {name: models.module.get_submodule(name) for name in shapes}

    def observe(self, batch: MeasuredBatch) -> StackedTaps:
        """Run one forward and one backward pass and return what passed each layer."""
        models = self.models.first(len(batch.counts))
        lead = batch.labels.shape
        offsets = {
            name: batch.features.new_zeros(*lead, *shape).requires_grad_() for name, shape in self.shapes.items()
        }

        def run(features: Tensor, own: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            with _shifted(self.parts, own) as seen:
                return models.module(features), seen

        with torch.enable_grad():
            outputs, inputs = models.each(run, batch.features, offsets)
            total = models.losses(outputs, batch.labels, batch.counts).sum()
            found = torch.autograd.grad(total, list(offsets.values()), materialize_grads=True)
        # Every layer was called once; one that was not has no formula.
        assert inputs.keys() == self.shapes.keys()
        kept = {name: tensor.detach() for name, tensor in inputs.items()}
        return StackedTaps(kept, dict(zip(offsets, found, strict=True)))

    def reduced(self, taps: StackedTaps) -> dict[str, tuple[Tensor, dict[str, Tensor]]]:
        """Return layer name -> the squared norms (k, b) and, by parameter, the sums (k, …) of its gradients."""

        def formulas(inputs: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> dict[str, Any]:
            parts = {name: FORMULAS[type(part)](part, inputs[name], slopes[name]) for name, part in self.parts.items()}
            return {name: (part.squares, part.sums) for name, part in parts.items()}

        with torch.no_grad():
            return self._models(taps).each(formulas, taps.inputs, taps.gradients)

    def products(self, taps: StackedTaps, directions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return layer name -> the products (k, b) of its gradients with directions (K, …) by parameter."""

        def moved(inputs: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: along(part(inputs[name]), slopes[name]) for name, part in self.parts.items()}

        models = self._models(taps)
        own = {name: tensor[: len(models.objectives)] for name, tensor in directions.items()}
        with torch.no_grad():
            return models.each(moved, taps.inputs, taps.gradients, given=own)

    def _models(self, taps: StackedTaps) -> Models:
        return self.models.first(len(next(iter(taps.inputs.values()))))


@contextmanager
def _shifted(parts: Mapping[str, nn.Module], offsets: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Add something to what layers put out in a block of code, and collect their inputs."""
    seen: dict[str, Tensor] = {}

    def hook(name: str, _module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        assert name not in seen and len(inputs) == 1 and output.shape == offsets[name].shape
        seen[name] = inputs[0]
        return output + offsets[name]

    handles = [part.register_forward_hook(partial(hook, name)) for name, part in parts.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def stacked_samples(run: StackedPass, batches: Sequence[MeasuredBatch]) -> list[GradientSample]:
    """Return what :func:`metrics.example_gradients.gradient_statistics.sample_gradients` returns for each client.

    Args:
        run: the pass over the models.
        batches: the clients' examples.
    """
    clients = len(batches[0].counts)
    sums: dict[str, Tensor] = {}
    squares: list[dict[str, Tensor]] = []
    kept: list[StackedTaps | None] = []
    room = clients * KEPT_BYTES
    for batch in batches:
        taps = run.observe(batch)
        found = run.reduced(taps)
        squares.append({name: part[0] for name, part in found.items()})
        for layer, (_, own) in found.items():
            for attribute, part in own.items():
                _add(sums, full_name(layer, attribute), part, clients)
        room -= taps.size_bytes
        kept.append(taps if room >= 0 else None)
    totals = [sum(batch.counts[client] for batch in batches if client < len(batch.counts)) for client in range(clients)]
    mean = {name: total.div_(_beside(totals, total)) for name, total in sums.items()}
    products = [
        run.products(run.observe(batch) if taps is None else taps, mean)
        for batch, taps in zip(batches, kept, strict=True)
    ]
    return [
        GradientSample(
            {name: tensor[client] for name, tensor in mean.items()},
            _own(squares, batches, client),
            _own(products, batches, client),
        )
        for client in range(clients)
    ]


def _add(sums: dict[str, Tensor], name: str, part: Tensor, clients: int) -> None:
    """Add what some clients, the first ones, have to the sums of all, in place."""
    if name not in sums:
        sums[name] = part if len(part) == clients else part.new_zeros(clients, *part.shape[1:])
    else:
        sums[name][: len(part)].add_(part)


def _beside(counts: Sequence[int], tensor: Tensor) -> Tensor:
    return torch.tensor(counts, device=tensor.device).view(-1, *[1] * (tensor.dim() - 1))


def _own(parts: Sequence[Mapping[str, Tensor]], batches: Sequence[MeasuredBatch], client: int) -> dict[str, Tensor]:
    """Return layer name -> what one client's own examples have, shape (n,), on the CPU."""
    had = [
        (part, batch.counts[client]) for part, batch in zip(parts, batches, strict=True) if client < len(batch.counts)
    ]
    return {name: torch.cat([part[name][client, :count] for part, count in had]).cpu() for name in parts[0]}
