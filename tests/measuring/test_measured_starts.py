"""What is measured against other models, against the messages that went out and came back, for every algorithm.

The oracle sees what the engine carried and nothing else: what a client started from is what it was sent (of several
models the one it says it chose; with ``local`` what it sent back the round before), what was made for it is what it was
sent to evaluate, and every value follows from these by its definition, in float64.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from flwr.app import Message, MessageType, MetricRecord

from fedlayers import read
from fedlayers.config.options import options
from fedlayers.engines.local import LocalGrid

Run = Callable[..., Path]
Weights = dict[str, np.ndarray]
RUN = ["engine=local", "plant.kind=permuted_labels", "plant.groups=2", "partition=quantity"]
RUN += ["examples_per_client=null", "metrics=[weights,distances,gradients]", "metrics.weights.rounds=[all]"]
RUN += ["metrics.distances.names=[l2_dst]", "metrics.distances.rounds=[all]", "metrics.gradients.rounds=[all]"]
RUN += ["metrics.gradients.batch_examples=16", "training.batch_size=64", "metrics.gradients.moments=[after_aggregate]"]
WORDS = {
    "cfl": ["algorithm.eps1=9", "algorithm.eps2=0", "algorithm.gamma=0"],
    "flower": ["algorithm.strategy._target_=flwr.serverapp.strategy.FedYogi"],
}
ALGORITHMS = options()["algorithm"]
SEVERAL = ("clustered", "ifca", "cfl")
# The oracle follows the one whole model that a client trains: not where it has a second one, or sends a part or nothing
# of it, or starts from a mixture of its own. tests/clients has oracles for those.
OTHERWISE = {
    *("centralized", "apfl", "ditto", "fedrod", "pfedme"),
    *("fedbabu", "fedbn", "fedper", "fedproto", "fedrep", "lgfedavg", "playerfl", "playerfl_random", "fedlp"),
    *("fedala", "fedfomo"),
}


@dataclass
class Carried:
    """What went out and came back: (round, client) -> weights; of several models that went out, all."""

    sent: dict[tuple[int, int], Weights] = field(default_factory=dict)
    back: dict[tuple[int, int], Weights] = field(default_factory=dict)
    evaluated: dict[tuple[int, int], Weights] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    chosen: dict[tuple[int, int], int] = field(default_factory=dict)

    def one(self, weights: Weights, key: tuple[int, int]) -> Weights:
        """Return the model that a client chose, where several were sent."""
        shapes = {name: array.shape for name, array in self.back[key].items()}
        if all(array.shape == shapes[name] for name, array in weights.items()):
            return weights
        return {name: array[self.chosen[key]] for name, array in weights.items()}


def weights_in(message: Message) -> Weights:
    """Return the model; what algorithms send beside it, such as control variates, has other names."""
    model = message.content.array_records["arrays"]
    return {name: array.numpy().astype(np.float64) for name, array in model.items()}


@contextmanager
def carried() -> Iterator[Carried]:
    """Write down all messages of a block of code that runs on the engine ``local``."""
    found, deliver = Carried(), LocalGrid.deliver

    def listen(self: LocalGrid, messages: list[Message]) -> list[Message]:
        training = messages[0].metadata.message_type == MessageType.TRAIN
        for message in messages:
            settings = message.content["config"]
            key = int(settings["server-round"]), message.metadata.dst_node_id - 1  # type: ignore[arg-type]
            if training:
                found.sent[key] = weights_in(message)
            elif settings["moment"] == "after_aggregate":
                found.evaluated[key] = weights_in(message)
        replies = deliver(self, messages)
        for reply in replies if training else []:
            key = key[0], reply.metadata.src_node_id - 1
            metrics = next(record for record in reply.content.values() if isinstance(record, MetricRecord))
            found.back[key], found.counts[key[1]] = weights_in(reply), int(metrics["num-examples"])  # type: ignore[arg-type]
            found.chosen[key] = int(metrics.get("cluster", 0))  # type: ignore[arg-type]
        return replies

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalGrid, "deliver", listen)
        yield found


def vectors(weights: Mapping[int, Weights], layer: str | None) -> np.ndarray:
    """Return a layer's numbers, or those of the whole model, a row for each client."""
    rows = [
        [a.ravel() for name, a in own.items() if layer in (None, name.rpartition(".")[0])] for own in weights.values()
    ]
    return np.array([np.concatenate(row) for row in rows])


def expected(
    found: Carried, algorithm: str, weighting: str, server_round: int, layer: str | None
) -> dict[str, np.ndarray]:
    """Return the values by metric: one for each client, or one."""
    clients = sorted(client for r, client in found.back if r == server_round)
    keys = {client: (server_round, client) for client in clients}
    starts = {client: found.one(found.sent[key], key) for client, key in keys.items()}
    if algorithm == "local" and server_round > 1:
        starts = {client: found.back[server_round - 1, client] for client in clients}
    after = vectors({client: found.back[key] for client, key in keys.items()}, layer)
    updates = after - vectors(starts, layer)
    shares = np.array([found.counts[client] if weighting == "examples" else 1.0 for client in clients])
    mean = (shares / shares.sum()) @ updates
    norms = np.linalg.norm(updates, axis=1)
    values = {
        "update_norm": norms,
        "update_cosine": updates @ mean / norms / np.linalg.norm(mean),
        "b_dissimilarity": np.sqrt(shares / shares.sum() @ norms**2 / (mean @ mean)),
    }
    if algorithm != "local":
        made = {client: found.one(found.evaluated[key], key) for client, key in keys.items()}
        values["drift"] = np.linalg.norm(after - vectors(made, layer), axis=1)
        values["received"], values["aggregated"] = norms, values["drift"]
    return values


@pytest.mark.parametrize(
    ("algorithm", "weighting"),
    [
        *((name, "examples") for name in ALGORITHMS if name not in OTHERWISE),
        # One global model, one for each group, none.
        *((name, "uniform") for name in ("fedavg", "clustered", "local")),
    ],
)
def test_every_value_follows_from_the_messages(quick_run: Run, algorithm: str, weighting: str) -> None:
    clients = 6 if algorithm in SEVERAL else 4
    with carried() as found:
        run = quick_run(
            *RUN, f"clients={clients}", f"algorithm={algorithm}", f"weighting={weighting}", *WORDS.get(algorithm, [])
        )
    tables = read(run)
    records, pairs = tables.records, tables.pairs
    if algorithm in SEVERAL:
        assert len({found.one(found.sent[2, c], (2, c))["fc2.bias"].tobytes() for c in range(clients)}) > 1
    local = records[records.moment == "after_local"], pairs[pairs.moment == "after_local"]
    rows_of = dict(iter(local[0].groupby(["metric", "round", "layer"], dropna=False, observed=True)))
    rows_of |= dict(iter(local[1].groupby(["subject", "round", "layer"], dropna=False, observed=True)))
    for server_round in (1, 2):
        for layer in (None, "fc1", "fc2"):
            for name, values in expected(found, algorithm, weighting, server_round, layer).items():
                if layer is None and name in ("received", "aggregated"):
                    continue
                rows = rows_of[name, server_round, np.nan if layer is None else layer].sort_values("client")
                assert (len(rows), set(rows.status)) == (np.size(values), {"ok"}), name
                np.testing.assert_allclose(rows.value, values, rtol=2e-5, atol=1e-9, err_msg=f"{name} {layer}")
    check_absent(records, pairs, found, algorithm, clients)


def check_absent(records: pd.DataFrame, pairs: pd.DataFrame, found: Carried, algorithm: str, clients: int) -> None:
    """What there is not is missing with the reason: a global model to drift to, common weights of gradients."""
    if algorithm == "local":
        drift = records[records.metric == "drift"]
        assert set(drift.reason) == {"the algorithm makes no global model"} and set(drift.status) == {"missing"}
        gone = records[(records.metric == "l2_dst") & (records.reason == "the algorithm makes no global model")]
        assert set(gone.subject) == {"received", "aggregated"} and set(pairs.subject) == {"clients"}
    for server_round in (1, 2):
        rows = records[(records["round"] == server_round) & (records.moment == "after_aggregate")]
        evaluated = [found.one(found.evaluated[server_round, c], (server_round, c)) for c in range(clients)]
        alike = algorithm != "local" and len({own["fc2.bias"].tobytes() for own in evaluated}) == 1
        for name in ("between_client_variance", "variance_ratio"):
            between = rows[rows.metric == name]
            assert len(between) == 3 and set(between.status) == {"ok" if alike else "missing"}
            if not alike:
                assert between.reason.str.startswith("the clients' models differ").all()
        assert set(rows[rows.metric == "within_client_variance"].status) == {"ok"}


@pytest.mark.parametrize("algorithm", ["fedavg", "clustered", "ifca"])
def test_the_model_that_a_client_received_computes_what_it_evaluates(quick_run: Run, algorithm: str) -> None:
    words = [
        "metrics=[similarity]",
        "similarity=[cka]",
        "metrics.similarity.moments=[after_aggregate]",
        "probe.size=40",
    ]
    run = quick_run(
        "engine=local", "clients=6", "plant.kind=permuted_labels", "plant.groups=2", f"algorithm={algorithm}", *words
    )
    received = read(run).pairs.query("subject == 'received' and round == 2 and metric == 'cka'")
    assert len(received) == 6 * 2 and received.value.tolist() == pytest.approx([1.0] * 12, abs=1e-6)
