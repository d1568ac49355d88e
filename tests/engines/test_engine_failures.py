"""What engines notice: clients that fail, workers that die, clusters that are not there."""

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import ray
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import ClientFailed, UserError, WorkerLost
from fedlayers.engines.base import Workplace
from fedlayers.engines.ray.engine import RayGrid
from fedlayers.runs.reading.tables import read

Run = Callable[..., Path]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def local(quick_run: Run) -> Path:
    return quick_run("engine=local")


def test_a_killed_worker_is_replaced_and_the_numbers_stay(local: Path, quick_run: Run, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    run = quick_run(
        "engine=ray",
        "engine.workers=2",
        "algorithm.client._target_=tests.support.odd_clients.DyingClient",
        f"+algorithm.client.marker={marker}",
    )
    assert marker.exists()
    # Another client is another run; nothing else differs.
    found, expected = (read(path).records.drop(columns=["run"]) for path in (run, local))
    assert found.equals(expected)


@pytest.mark.parametrize("engine", ["local", "ray", "flower"])
def test_a_failing_client_stops_the_run_and_is_named(quick_run: Run, engine: str) -> None:
    with pytest.raises(
        ClientFailed, match=r"(?s)client 2 failed in round 2 \(after_local\).*the answer is not a number"
    ):
        quick_run(
            f"engine={engine}",
            *([] if engine == "local" else ["engine.workers=1"]),
            "algorithm.client._target_=tests.support.odd_clients.FailingClient",
            "+algorithm.client.client=2",
            "+algorithm.client.server_round=2",
        )


def test_a_failing_client_can_be_dropped_and_is_recorded(quick_run: Run) -> None:
    run = quick_run(
        "engine=local",
        "on_client_error=drop",
        "algorithm.client._target_=tests.support.odd_clients.FailingClient",
        "+algorithm.client.client=2",
        "+algorithm.client.server_round=1",
    )
    records = read(run).records
    dropped = records[records.metric == "client"]
    assert dropped[["client", "round", "moment", "status"]].to_numpy().tolist() == [[2, 1, "after_local", "missing"]]
    assert "the answer is not a number" in dropped.reason.iloc[0]
    trained = records[(records.metric == "training_loss") & (records["round"] == 1)]
    assert sorted(trained.client) == [0, 1, 3]


def test_all_clients_failing_is_never_dropped(quick_run: Run) -> None:
    with pytest.raises(ClientFailed, match="every client failed in round 1"):
        quick_run(
            "engine=local",
            "clients=1",
            "on_client_error=drop",
            "algorithm.client._target_=tests.support.odd_clients.FailingClient",
            "+algorithm.client.client=0",
            "+algorithm.client.server_round=1",
        )


def test_more_than_the_machine_has_is_refused(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"engine.client_cpus must be at most the \d+ CPUs"):
        quick_run("engine=ray", "engine.client_cpus=4000")
    with pytest.raises(UserError, match=r"engine.client_gpus must be at most the \d+ GPUs"):
        quick_run("engine=ray", "engine.client_gpus=4000")


class Unloadable:
    """Stands for an app that refers to a module which a worker does not find."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("nowhere",)


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    app = cast(ClientApp, Unloadable())
    grid = RayGrid(Workplace(app, [1], tmp_path, threading.Event(), lambda _: None), Engine(name="ray", workers=1))
    content = RecordDict({"arrays": ArrayRecord({}), "config": ConfigRecord({"server-round": 1})})
    with pytest.raises(WorkerLost, match="a worker process could not start: ModuleNotFoundError: No module named 'now"):
        grid.send_and_receive([Message(content, 1, MessageType.TRAIN)])
    grid.close()


def test_an_unreachable_cluster_is_named(quick_run: Run) -> None:
    ray.shutdown()
    with pytest.raises(UserError, match=r"engine.address must be the address of a running Ray cluster.*'127.0.0.1:1'"):
        quick_run("engine=ray", "engine.address='127.0.0.1:1'")
