"""Small models, examples and views to measure, and what every metric's rows have to satisfy."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedlayers.core.layers import layers_of
from fedlayers.core.records import Record, Resource, Row, Spectrum
from metrics.base import ClientView, ExampleSet, Measurement, Metric, ServerView

# Where the test that runs computes, see the fixture ``device``.
where = [torch.device("cpu")]


class Rows:
    """Examples held in memory."""

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        self.features, self.labels = features, labels

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.features[positions], self.labels[positions]

    def targets(self, positions: Tensor | None = None) -> Tensor:
        labels = self.labels if positions is None else self.labels[positions]
        return labels.cpu()


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 4)).eval().to(where[0])


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.named_parameters()}


def arrived(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in weights.items()}


def some_rows(n: int, seed: int = 0, classes: int = 4) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    features, labels = torch.randn(n, 6, generator=generator), torch.randint(classes, (n,), generator=generator)
    return Rows(features.to(where[0]), labels.to(where[0]))


def client_view(
    module: nn.Module, data: Mapping[str, ExampleSet], moment: str = "after_local", reference: nn.Module | None = None
) -> ClientView:
    weights = weights_of(module.to(where[0]))
    return ClientView(
        layers=layers_of(module),
        module=module,
        parameters=weights,
        buffers={},
        reference=weights if reference is None else weights_of(reference.to(where[0])),
        data=data,
        classes=("a", "b", "c", "d"),
        seed=7,
        round=1,
        moment=moment,
        device=where[0],
    )


def server_view(
    module: nn.Module,
    weights: Mapping[int, Mapping[str, Tensor]],
    examples: Mapping[int, int],
    after: Mapping[str, Tensor] | None = None,
    moment: str = "after_local",
) -> ServerView:
    # What came lies on the CPU.
    before = arrived(weights_of(module))
    return ServerView(
        layers=layers_of(module),
        clients=sorted(examples),
        weights={client: arrived(own) for client, own in weights.items()},
        before=before,
        after=before if after is None else arrived(after),
        examples=examples,
        payloads={},
        seed=7,
        round=1,
        moment=moment,
        classes=("a", "b", "c", "d"),
    )


def with_sent(view: ServerView, sent: Mapping[int, Measurement]) -> ServerView:
    """Return the view of a metric's server half to which clients sent what their halves returned."""
    payloads = {client: found.payload for client, found in sent.items() if found.payload}
    names = {name for found in sent.values() for name in found.shared}
    shared = {
        name: {client: found.shared[name] for client, found in sent.items() if name in found.shared} for name in names
    }
    return replace(view, payloads=payloads, shared=shared)


def assert_in_range(metric: Metric, rows: Sequence[Row]) -> None:
    """Every row has facts; every value lies in the stated range; every missing value has its reason."""
    facts = {fact.name: fact for fact in metric.facts}
    assert rows
    for row in rows:
        if isinstance(row, Resource):
            continue
        fact = facts[row.metric]
        if row.status == "missing":
            assert isinstance(row, Record) and math.isnan(row.value) and row.reason
        else:
            values = row.y if isinstance(row, Spectrum) else [row.value]
            assert all(fact.low <= value <= fact.high for value in values), row
            # Or why it has no standard error.
            assert row.reason is None or (isinstance(row, Record) and row.stderr is None)
        if isinstance(row, Record) and row.stderr is not None:
            assert row.stderr >= 0 and row.n is not None


def value_of(rows: Sequence[Row], metric: str, **columns: object) -> Record:
    """Return the one record of a metric with the given columns (layer None unless given)."""
    wanted = {"layer": None, **columns}
    found = [
        row
        for row in rows
        if isinstance(row, Record)
        and row.metric == metric
        and all(getattr(row, key) == value for key, value in wanted.items())
    ]
    assert len(found) == 1, (metric, columns, found)
    return found[0]
