"""engine=flower with all kinds of algorithms, Flower's runtime and its processes left out: equal tables.

What is left in is what could change a number: messages, replies and states are pickled on their way, nodes have random
ids, and every message finds an empty context, as in Flower's runtime.
"""

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedlayers.engines import flower_runtime
from fedlayers.flower.adapter import RUN_ID, set_message_id
from fedlayers.runs.folder import RunFolder
from tests.support.cluster_messages import Nodes

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
CHANGING = ["rounds=3", "fraction=0.7", "model.hidden=[8,8]"]
FOUND = [
    "model.hidden=[32,16,16]",
    "metrics.transition.batch_examples=8",
    "metrics.transition.thresholds.sensitivity=12",
]
# Records beside the model, states of clients and of the server, another model for each client, second models, layers
# that are not sent, clients that never train, and layers that are sent in some rounds or by some clients, as drawn, as
# measured and as each client finds.
KINDS = {
    "scaffold": [],
    "ditto": [],
    "fedfomo": [],
    "pfedla": ["split.unseen_clients=1"],
    "fedbn": ["model._target_=tests.support.odd_models.TinyBatchNorm"],
    "fedlama": CHANGING,
    "fedlp": CHANGING,
    "playerfl": [*FOUND, "plan.rule.choice=client", "partition=dirichlet"],
}


class Runtime(Nodes):
    """Flower's Grid, whose nodes compute at once in this process."""

    def __init__(self, app: ClientApp, count: int) -> None:
        super().__init__(count)
        self.app = app
        self.partition_of = {10**18 + 7919 * (count - client): client for client in range(count)}
        self.replies: dict[str, Message] = {}

    def get_node_ids(self) -> list[int]:
        return list(self.partition_of)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        names = []
        for place, message in enumerate(messages):
            if not message.metadata.message_id:
                set_message_id(message, f"asked {place}")
            came = pickle.loads(pickle.dumps(message))
            node = came.metadata.dst_node_id
            config: dict[str, Any] = {"partition-id": self.partition_of[node], "num-partitions": self.count}
            reply = self.app(came, Context(RUN_ID, node, config, RecordDict(), {}))
            self.replies[came.metadata.message_id] = pickle.loads(pickle.dumps(reply))
            names.append(came.metadata.message_id)
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [self.replies.pop(name) for name in list(message_ids)]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_simulation(server_app: ServerApp, client_app: ClientApp, num_supernodes: int, **_: Any) -> None:
        server_app(Runtime(client_app, num_supernodes), Context(RUN_ID, 0, {}, RecordDict(), {}))

    monkeypatch.setattr(flower_runtime, "run_simulation", run_simulation)
    monkeypatch.setattr(flower_runtime, "connect", lambda _: None)
    monkeypatch.setattr(flower_runtime, "end_kept", lambda: None)
    monkeypatch.setattr(flower_runtime, "resources", lambda *_: ({}, 1))


@pytest.mark.parametrize("name", KINDS)
def test_what_travels_through_flower_changes_no_number(
    runtime: None, quick_run: Run, tables: Tables, name: str
) -> None:
    words = [f"algorithm={name}", "metrics=[evaluation]", "clients=3", *KINDS[name]]
    there, here = (quick_run(f"engine={engine}", *words) for engine in ("flower", "local"))
    assert tables(there) == tables(here)
    last = RunFolder(here).last_round() or 0
    assert RunFolder(there).checkpoint(last)[0] == RunFolder(here).checkpoint(last)[0]
