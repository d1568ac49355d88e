"""Writes runs with made-up values of the quantities that answer the questions about a chain of layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlayers import Facts, Record, Writer

QUANTITIES = (
    Facts("probe_accuracy", "1", 0.0, 1.0, "higher", "made up"),
    Facts("anchor_accuracy", "1", 0.0, 1.0, "higher", "made up"),
    Facts("participation_ratio", "dimensions", 0.0, np.inf, "neutral", "made up"),
    Facts("cka_previous", "1", 0.0, 1.0, "neutral", "made up"),
    Facts("ace_js", "nat", 0.0, float(np.log(2)), "neutral", "made up"),
    Facts("accuracy", "1", 0.0, 1.0, "higher", "made up"),
    Facts("loss", "nat", 0.0, np.inf, "lower", "made up"),
    Facts("training_loss", "nat", 0.0, np.inf, "lower", "made up"),
)


@dataclass(frozen=True)
class Chain:
    """What a made-up run consists of; ``layers`` are names, and values rise by ``slope`` from layer to layer."""

    model: str = "mlp"
    algorithm: str = "fedavg"
    seed: int = 0
    clients: int = 3
    rounds: int = 2
    layers: Sequence[str] = ("fc1", "fc2", "fc3", "fc4")
    slope: float = 0.1
    noise: float = 0.01

    @property
    def name(self) -> str:
        return f"{self.seed:04d}_{self.model}_{self.algorithm}"


def write_chain(study: Path, chain: Chain) -> Path:
    """Write one run into the study's folder and return it."""
    folder, generator = study / chain.name, np.random.default_rng([chain.seed, len(chain.model), len(chain.algorithm)])
    told = {"dataset": "digits", "partition": "dirichlet", "classes": ["a", "b"]}
    with Writer(
        folder, quantities=QUANTITIES, layers=list(chain.layers), model=chain.model, algorithm=chain.algorithm,
        seed=chain.seed, clients=chain.clients, **told,
    ) as writer:  # fmt: skip
        for number in range(1, chain.rounds + 1):
            for client in [None, *range(chain.clients)]:
                writer.add(*_layers(chain, number, client, generator.normal))
            for client in range(chain.clients):
                writer.add(*_whole(number, client))
            writer.end_round()
    return folder


def probe_accuracy(chain: Chain, place: int, number: int) -> float:
    """Return the value around which runs and clients scatter."""
    return 0.3 + 0.05 * number + chain.slope * place


def _layers(chain: Chain, number: int, client: int | None, normal: Callable[[float, float], float]) -> list[Record]:
    moment, last = "after_aggregate" if client is None else "after_local", len(chain.layers) - 1
    rows = []
    for place, layer in enumerate(chain.layers):

        def add(metric: str, mean: float, variant: str | None = None, layer: str = layer, **more: float) -> None:
            value = mean + chain.noise * normal(0.0, 1.0)
            where = {"layer": layer, "client": client, "moment": moment, "scope": "probe", "variant": variant}
            rows.append(Record(metric, float(value), **where, **more))  # type: ignore[arg-type]

        accuracy = probe_accuracy(chain, place, number)
        add("probe_accuracy", accuracy, "halves", stderr=0.02, n=300, chance=0.1)
        add("probe_accuracy", accuracy + 0.02, "folds=5", stderr=0.02, n=300, chance=0.1)
        add("anchor_accuracy", accuracy - 0.1, stderr=0.02, n=300)
        add("participation_ratio", 12.0 - 2 * place, "debiased")
        if place:
            add("cka_previous", 0.5 + 0.1 * place, "debiased", stderr=0.03, chance=0.01)
        if place < last:
            add("ace_js", 0.3 - 0.05 * place)
    return rows


def _whole(number: int, client: int) -> list[Record]:
    where = {"client": client, "moment": "after_local"}
    return [
        Record("accuracy", 0.6 + 0.1 * number, scope="client_train", **where),  # type: ignore[arg-type]
        Record("accuracy", 0.5 + 0.1 * number + 0.01 * client, scope="client_val", **where),  # type: ignore[arg-type]
        Record("loss", 1.2 / number, scope="client_val", **where),  # type: ignore[arg-type]
        Record("training_loss", 1.0 / number, scope="client_train", **where),  # type: ignore[arg-type]
    ]
