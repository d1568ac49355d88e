"""Made-up tables of layer metrics, pairs and spectra of figures: formulas that tests repeat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fedlayers.core.records import Pair, Record, Row, Spectrum, missing, table_of, to_table
from fedlayers.runs.reading.parts import to_pandas
from tests.support.fake_run import Fake, run_facts, write_run

ROUNDS = (1, 10)
# Relation, other client, other layer.
Related = tuple[str, int | None, str]
CHANCE = {"cka": (0.0, 0.05), "cka_distance": (1.571, 1.52), "procrustes_distance": (1.2, 1.15)}


@dataclass(frozen=True)
class Measured:
    """What is measured: clients and layers are numbers of them, every third layer but the last may be a norm layer."""

    clients: int = 5
    layers: int = 6
    norms: bool = False

    @property
    def fake(self) -> Fake:
        return Fake(clients=self.clients, layers=self.layers, rounds=2)

    @property
    def norm_layers(self) -> list[int]:
        return list(range(1, self.layers - 1, 3)) if self.norms else []

    @property
    def layer_facts(self) -> list[dict[str, Any]]:
        layers: list[dict[str, Any]] = run_facts(Path("main"), self.fake)["layers"]
        return [layer | ({"kind": "norm"} if layer["index"] in self.norm_layers else {}) for layer in layers]

    @property
    def facts(self) -> dict[str, Any]:
        return run_facts(Path("main"), replace(self.fake, overrides=(("layers", self.layer_facts),)))


def similarity_of(client: int, other: int, layer: int, server_round: int) -> float:
    """Return a made-up CKA of two clients, lower in later layers, higher in later rounds, and in [0, 1]."""
    apart = (0.04 + 0.01 * ((client + 2 * other) % 5)) * (layer + 1) / (1 + 0.1 * server_round)
    return float(np.exp(-apart))


def trace_of(client: int, layer: int, server_round: int) -> float:
    """Return a made-up Hessian trace; that of client 0 is negative at the first layer in the first round."""
    size = (1 + client / 3) * 3.0 ** abs(layer - 2) / server_round
    return -size if client == 0 and layer == 0 and server_round == 1 else size


def frame(rows: Sequence[Row], table: str) -> pd.DataFrame:
    """Return the rows of one table as :func:`fedlayers.read` would."""
    return to_pandas(to_table(table, [row for row in rows if table_of(row) == table]))


def layer_rows(measured: Measured) -> Iterator[Row]:
    """Return what clients measure of every layer after local training in the first and the last round."""
    layers = list(enumerate(measured.fake.layer_names))
    for server_round, client, (layer, name) in product(ROUNDS, range(measured.clients), layers):
        yield from _of_layer(measured, server_round, client, layer, name)


def _of_layer(measured: Measured, server_round: int, client: int, layer: int, name: str) -> Iterator[Row]:
    address: dict[str, Any] = {
        "run": "r", "round": server_round, "moment": "after_local", "owner": "client", "model": "personal",
        "client": client, "layer": name, "layer_index": layer, "scope": "client_train",
    }  # fmt: skip
    variance = 10.0 ** (-2 - abs(layer - 3) / 2) * (1 + client / 5) / server_round
    yield Record("gradient_variance_parameters", variance, stderr=variance / 5, n=8, **address)
    trace = trace_of(client, layer, server_round)
    yield Record("hessian_trace", trace, stderr=abs(trace) / 6, n=32, **address)
    if layer in measured.norm_layers:
        yield missing("sensitivity_cumulative", "norm layers are left out of the sum", **address)
    else:
        total = 1 + (0.02 * layer + 0.5 * (layer == measured.layers - 1)) * (1 + client)
        yield Record("sensitivity_cumulative", total, stderr=0.03 * total, n=8, **address)
    for rank in range(1, 6):
        value = 5.0 / rank * (-1) ** (rank // 4) * (layer + 1 + client)
        yield Record("hessian_eigenvalue", value, subject=str(rank), **address)
    accuracy = 0.3 + 0.6 * layer / measured.layers
    yield Record("probe_accuracy", accuracy, variant="linear", chance=0.1, chance_hi=0.15, p=0.01, **address)
    x = np.concatenate([[-30.0], np.linspace(-4.0, 4.0, 201), [40.0 * (layer + 1)]])
    y = np.exp(-((x - 0.1 * client) ** 2) * 4) + 1e-4 * np.exp(-((x - x[-1]) ** 2))
    yield Spectrum("hessian_density", list(x), list(y), **address)


def pair_rows(measured: Measured) -> Iterator[Row]:
    """Return pairs of all relations in three measures, in the first and the last round."""
    names = measured.fake.layer_names
    for server_round, layer, client in product(ROUNDS, range(measured.layers), range(measured.clients)):
        related: list[Related] = [("clients", other, names[layer]) for other in range(client + 1, measured.clients)]
        related += [("received", None, names[layer]), ("aggregated", None, names[layer])]
        related += [("rounds", client, names[layer])] * (server_round != ROUNDS[0])
        related += [("layers", client, other) for other in names[layer + 1 :]]
        for relation, other, other_layer in related:
            value = _related(measured, relation, client, other, layer, server_round, other_layer)
            other_round = ROUNDS[0] if relation == "rounds" else server_round
            address = {
                "run": "r", "round": server_round, "moment": "after_local", "owner": "client", "model": "personal",
                "client": client, "layer": names[layer], "layer_index": layer, "subject": relation,
                "scope": "probe", "other": other, "other_round": other_round, "other_layer": other_layer,
            }  # fmt: skip
            yield from _measures(value, address)


def _related(
    measured: Measured, relation: str, client: int, other: int | None, layer: int, server_round: int, other_layer: str
) -> float:
    if relation == "layers":
        return float(0.9 ** abs(measured.fake.layer_names.index(other_layer) - layer)) - 0.01 * client
    if relation == "clients":
        return similarity_of(client, other or 0, layer, server_round)
    change = {"received": 0.02, "aggregated": 0.05, "rounds": 0.03}[relation]
    return float(np.exp(-change * (layer + 1 + client / 3)))


def _measures(value: float, address: dict[str, Any]) -> Iterator[Row]:
    values = {"cka": value, "cka_distance": np.arccos(value), "procrustes_distance": np.arccos(value) * 0.8}
    for metric, found in values.items():
        chance, limit = CHANCE[metric]
        variant = "pooled" if metric == "procrustes_distance" else "debiased, pooled"
        beside = {"variant": variant, "stderr": 0.01, "n": 1000, "p": 0.001, **address}
        yield Pair(metric, float(found), chance=chance, chance_hi=limit, **beside)


def write_measured_run(study: Path, measured: Measured = Measured(), **changes: Any) -> Path:
    """Write a run folder that holds what :func:`tests.support.fake_run.write_run` writes, and these tables."""
    run = write_run(study, measured.fake, overrides=(("layers", measured.layer_facts),), **changes)
    rows = [*layer_rows(measured), *pair_rows(measured)]
    for table in ("records", "pairs", "spectra"):
        for number in ROUNDS:
            mine = [row for row in rows if table_of(row) == table and row.round == number]
            (run / table).mkdir(exist_ok=True)
            pq.write_table(to_table(table, mine), run / table / f"round={number + 100:06d}.parquet")
    return run
