"""FedProto: prototypes by hand, on clients and server; without the pull it is local training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from torch import nn

from clients.losses.fedproto import FedProtoClient
from fedlayers.core.errors import UserError
from fedlayers.flower.contents import array_record
from fedlayers.runs.client_state import unpack
from strategies.fedproto import FedProto
from tests.support.one_example import session_on

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
BODY, HEAD = np.array([[0.3], [-0.5]]), np.array([[0.5, 0.1], [-1.0, 0.2], [0.4, 0.7]])
PROTOTYPE = np.array([1.0, -0.2])


@pytest.mark.parametrize("known", ["1", "2"])
def test_two_steps_by_hand(known: str) -> None:
    """Only the prototype of the example's own class, 1, pulls."""
    arrays = {"0.weight": BODY.astype(np.float32), "1.weight": HEAD.astype(np.float32)}
    content = RecordDict({"config": ConfigRecord({}), "arrays": array_record(arrays)})
    content["prototypes"] = array_record({known: PROTOTYPE.astype(np.float32)})
    module = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 3, bias=False))
    client = FedProtoClient(session_on(module, content, RecordDict(), "training.steps=2"), strength=0.7)
    sent, _, found = client.fit([array.copy() for array in arrays.values()], {})
    body, head = BODY, HEAD
    for _ in range(2):
        features = (body * 3).ravel()
        odds = np.exp(head @ features)
        error = odds / odds.sum() - [0, 1, 0]
        # The mean of two squares, so 2 / 2 of the difference.
        pull = 0.7 * (features - PROTOTYPE) * (known == "1")
        by_body = 3 * (head.T @ error + pull)
        body, head = body - 0.1 * by_body[:, None], head - 0.1 * np.outer(error, features)
    assert sent[0] == pytest.approx(body, abs=1e-6) and sent[1] == pytest.approx(head, abs=1e-6)
    assert found["prototypes"]["1"].numpy() == pytest.approx((body * 3).ravel(), abs=1e-6) and len(found["counts"]) == 1


def test_the_server_weighs_clients_by_their_examples_of_a_class() -> None:
    def sent(**own: tuple[list[float], float]) -> RecordDict:
        names = {name.removeprefix("c"): pair for name, pair in own.items()}
        means = {name: np.array(mean, np.float32) for name, (mean, _) in names.items()}
        counts: dict[str, Any] = {name: np.array(count) for name, (_, count) in names.items()}
        return RecordDict({"prototypes": array_record(means), "counts": array_record(counts)})

    server = FedProto()
    server.receive(1, "after_local", {1: sent(c0=([1, 2], 3.0), c2=([4, 4], 1.0)), 2: sent(c0=([5, 6], 1.0))})
    server.receive(2, "after_local", {2: sent(c0=([8, 8], 2.0))})
    assert {name: own.tolist() for name, own in server.prototypes.items()} == {"0": [8, 8], "2": [4, 4]}
    server.receive(3, "after_local", {1: sent(c0=([1, 2], 3.0)), 2: sent(c0=([5, 6], 1.0))})
    assert server.prototypes["0"].tolist() == [2, 3]


def test_without_the_pull_it_is_local_training(quick_run: Run, tables: Tables) -> None:
    words = ["engine=local", "partition=dirichlet", "metrics=[evaluation]"]
    alone, on = (quick_run(*words, f"algorithm={name}") for name in ("local", "fedproto"))
    off = quick_run(*words, "algorithm=fedproto", "algorithm.strength=0")
    assert tables(off) == tables(alone)
    assert tables(on)["records/round=000001.parquet"] == tables(alone)["records/round=000001.parquet"]
    states: list[Any] = [unpack(run / "state" / "0@2")["model"] for run in (on, alone)]
    assert states[0]["fc1.weight"].data != states[1]["fc1.weight"].data


def test_a_negative_strength_is_refused() -> None:
    with pytest.raises(UserError, match=r"algorithm.strength must be 0 or more \(0 is local training\), got -1"):
        FedProtoClient(None, strength=-1)  # type: ignore[arg-type]
