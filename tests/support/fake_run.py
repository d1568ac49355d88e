"""Writes run folders that look like those of the program, for tests of what reads them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from fedlayers.core.records import Pair, Record, Resource, Row, Spectrum, addressed, missing, table_of, to_table
from fedlayers.runs.quantities import save_quantities
from tests.support.quantities import KNOWN

LAYER_METRICS = ("norm", "update_norm", "update_cosine")


@dataclass(frozen=True)
class Fake:
    """What a made-up run consists of; ``overrides`` are extra entries of its run.json."""

    clients: int = 3
    rounds: int = 4
    layers: int = 3
    classes: int = 5
    seed: int = 0
    algorithm: str = "fedavg"
    lr: float = 0.05
    status: str = "complete"
    reason: str | None = None
    overrides: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return f"FMNIST-{self.algorithm}-s{self.seed}-{(int(1e9 * self.lr) + 7919 * self.clients) % 16**10:010x}"

    @property
    def layer_names(self) -> list[str]:
        if self.layers <= 3:
            return ["conv1", "conv2", "head"][-self.layers :]
        middle = [f"stage{1 + i // 4}.{i % 4 // 2}.conv{1 + i % 2}" for i in range(self.layers - 2)]
        return ["stem.conv", *middle, "head"]


def write_run(study: Path, fake: Fake | None = None, **changes: Any) -> Path:
    """Write one run folder into the study folder and return it."""
    fake = replace(fake or Fake(), **changes)
    folder = study / fake.name
    folder.mkdir(parents=True)
    for server_round in range(fake.rounds + 1):
        _write_part(folder, f"round={server_round:06d}", list(_round_rows(fake, server_round)))
    _write_part(folder, "final", list(_evaluation(fake, fake.rounds, "final")))
    _write_partition(folder, fake)
    config = {
        "seed": fake.seed,
        "training": {"lr": fake.lr, "epochs": 1},
        "study": study.name,
        "dataset": {"name": "FMNIST"},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    files = {"quantities.json": save_quantities(folder, KNOWN.values())}
    facts = {"files": files, **run_facts(study, fake)}
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    if fake.status == "complete":
        (folder / "done.json").write_text("{}", encoding="utf-8")
    return folder


def run_facts(study: Path, fake: Fake) -> dict[str, Any]:
    """Return what run.json holds."""
    layers = [
        {"name": name, "index": i, "kind": "conv", "group": name.split(".", maxsplit=1)[0], "parameters": 100}
        for i, name in enumerate(fake.layer_names)
    ]
    stretch = {
        "from_round": 1,
        "host": "node1",
        "cpu": "x",
        "device": "cpu",
        "versions": {"torch": "2.13.0", "flwr": "1.41.0"},
    }
    facts = {
        "run": fake.name, "study": study.name, "dataset": "FMNIST", "partition": "dirichlet", "model": "cnn",
        "algorithm": fake.algorithm, "engine": "local", "seed": fake.seed, "clients": fake.clients,
        "rounds": fake.rounds, "round": fake.rounds, "status": fake.status, "reason": fake.reason,
        "identity": fake.name[-10:], "parameters": 100 * fake.layers, "layers": layers,
        "classes": [f"class {i}" for i in range(fake.classes)],
        "client_names": [str(i) for i in range(fake.clients)],
        "best": {"round": max(1, fake.rounds - 1), "metric": "accuracy", "value": 0.8},
        "wall_s": 83.4, "stretches": [stretch],
    }  # fmt: skip
    return facts | dict(fake.overrides)


def accuracy(fake: Fake, client: int, server_round: int, moment: str) -> float:
    """Return a made-up accuracy that rises over rounds and differs between clients."""
    gain = 1 - np.exp(-(server_round + 0.8 * (moment == "after_local")) / 6)
    return float(np.clip(0.1 + 0.8 * gain + 0.08 * np.sin(3.1 * client + 1.7 * fake.seed) * gain, 0, 1))


def _round_rows(fake: Fake, server_round: int) -> Iterator[Row]:
    moments = ("start",) if server_round == 0 else ("after_local", "after_aggregate")
    for moment in moments:
        yield from _evaluation(fake, server_round, moment)
        if server_round in (1, fake.rounds):
            yield from _layers(fake, server_round, moment)
    for client in range(fake.clients):
        spent: list[Row] = [Resource("measure_evaluation", 0.5, "s")]
        if server_round:
            spent.append(Resource("train_s", 2.0, "s"))
        yield from addressed(spent, owner="client", round=server_round, client=client, moment=moments[0])


def _evaluation(fake: Fake, server_round: int, moment: str) -> Iterator[Row]:
    for client in range(fake.clients):
        value = accuracy(fake, client, server_round, moment)
        where = {
            "round": server_round,
            "moment": moment,
            "owner": "client",
            "model": "global",
            "client": client,
        }
        rows = [
            Record("accuracy", value, scope="client_test", n=50),
            Record("loss", -np.log(value), scope="client_test", n=50),
        ]
        rows.append(Record("accuracy", min(value + 0.02, 1.0), scope="client_val", n=20))
        yield from addressed(rows, **where)
        yield from addressed(
            [Spectrum("confusion", [0.0, 1.0], [9.0, 1.0], subject="class 0", scope="client_test")], **where
        )
    if moment != "after_local":
        value = accuracy(fake, 0, server_round, moment) - 0.03
        where = {
            "round": server_round,
            "moment": moment,
            "owner": "server",
            "model": "global",
        }
        rows = [
            Record("accuracy", value, scope="server_test", n=500),
            Record("loss", -np.log(value), scope="server_test", n=500),
        ]
        yield from addressed(rows, **where)


def _layers(fake: Fake, server_round: int, moment: str) -> Iterator[Row]:
    generator = np.random.default_rng([fake.seed, server_round, len(moment)])
    for index, layer in enumerate(fake.layer_names):
        address = {
            "round": server_round,
            "moment": moment,
            "layer": layer,
            "layer_index": index,
            "model": "global",
        }
        for client in range(fake.clients):
            spread = float(generator.lognormal(0.0, 0.3))
            rows: list[Row] = [
                Record("norm", (3 + index) * spread),
                Record("update_norm", 10.0 ** (-0.4 * index) * spread / server_round),
                Record("share_small", 0.01 * spread, variant="0.01"),
                Record("share_small", 0.2 * spread, variant="0.1"),
            ]
            if client == 0 and index == 1:
                rows.append(missing("update_cosine", "the update is zero"))
            else:
                rows.append(Record("update_cosine", float(np.tanh(spread - 1))))
            yield from addressed(rows, owner="client", client=client, **address)
        yield from addressed(
            [Record("b_dissimilarity", 1.5 + index, stderr=0.2, n=fake.clients, chance=1.0)],
            owner="server",
            **address,
        )
        for other in range(1, min(fake.clients, 4)):
            pair = Pair("cka", 0.9 - 0.05 * index, client=0, other=other, other_round=server_round, other_layer=layer)
            yield from addressed([pair], owner="server", **address)


def _write_part(folder: Path, part: str, rows: list[Row]) -> None:
    for table in ("records", "pairs", "spectra", "resources"):
        mine = [row for row in rows if table_of(row) == table]
        if mine or table == "records":
            (folder / table).mkdir(exist_ok=True)
            pq.write_table(to_table(table, mine), folder / table / f"{part}.parquet")


def _write_partition(folder: Path, fake: Fake) -> None:
    import pandas as pd

    generator = np.random.default_rng([7, fake.seed])
    rows = []
    for client in range(fake.clients):
        shares = generator.dirichlet([0.4] * fake.classes) * generator.integers(200, 900)
        for scope, part in (("client_train", 0.8), ("client_val", 0.1), ("client_test", 0.1)):
            rows += [(client, str(client), scope, i, f"class {i}", int(part * shares[i])) for i in range(fake.classes)]
    columns = ["client", "client_name", "scope", "label", "label_name", "examples"]
    pd.DataFrame(rows, columns=columns).to_parquet(folder / "partition.parquet")
