"""The three engines give the same numbers, and notice what goes wrong."""

import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from unittest import mock

import pytest
import ray
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from fedlayers.config import Engine
from fedlayers.engines.base import Workplace
from fedlayers.engines.placement import Chunks
from fedlayers.engines.ray import RayGrid
from fedlayers.errors import ClientFailed, UserError, WorkerLost
from fedlayers.sums import averaged
from fedlayers.tables import read

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
PERSONAL = ["algorithm=local", "metrics=[evaluation,weights]"]

EVERYTHING = (
    "metrics=[evaluation,weights,gradients,sensitivity,curvature,similarity,representation,originals]",
    "similarity=[cka,procrustes]",
    "records_per_client=100",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def local(quick_run: Run) -> Path:
    return quick_run("engine=local")


@pytest.fixture(scope="module")
def everything(quick_run: Run) -> Path:
    return quick_run("engine=local", *EVERYTHING)


@pytest.fixture(scope="module")
def local_personal(quick_run: Run) -> Path:
    return quick_run("engine=local", *PERSONAL)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_ray_equals_local_bit_for_bit(everything: Path, quick_run: Run, tables: Tables, workers: int) -> None:
    run = quick_run("engine=ray", f"engine.workers={workers}", *EVERYTHING)
    assert run.name == everything.name
    assert tables(run) == tables(everything)


def test_workers_add_up_cheap_clients_and_the_numbers_stay(quick_run: Run, tables: Tables) -> None:
    overrides = ["clients=23", "rounds=3", "records_per_client=30", "metrics=[evaluation]"]
    seen: list[str] = []

    def noted(replies: list[Message], *rest: Any) -> list[Message]:
        seen.extend(name for reply in replies for name in reply.content if name.startswith("sum/"))
        return averaged(replies, *rest)

    with mock.patch("fedlayers.rounds.averaged", noted):
        alone = quick_run("engine=local", *overrides)
        assert seen == []
        shared = quick_run("engine=ray", "engine.workers=2", *overrides)
    assert seen
    assert tables(shared) == tables(alone)


def test_flower_equals_local_bit_for_bit(everything: Path, quick_run: Run, tables: Tables) -> None:
    assert tables(quick_run("engine=flower", *EVERYTHING)) == tables(everything)


@pytest.mark.parametrize("engine", ["ray", "flower"])
def test_personal_state_is_the_same_everywhere(
    local_personal: Path, quick_run: Run, tables: Tables, engine: str
) -> None:
    run = quick_run(f"engine={engine}", *PERSONAL)
    assert tables(run) == tables(local_personal)
    assert sorted(path.name for path in (run / "state").glob("[0-9]@*")) == [
        f"{client}@{server_round}" for client in range(4) for server_round in (1, 2)
    ]


def test_a_killed_worker_is_replaced_and_the_numbers_stay(
    local: Path, quick_run: Run, tables: Tables, tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    run = quick_run(
        "engine=ray",
        "engine.workers=2",
        "algorithm.client._target_=tests.odd_clients.DyingClient",
        f"+algorithm.client.marker={marker}",
    )
    assert marker.exists()
    assert [strip_run(data) for data in tables(run).values()] != []
    assert frame_without_run(run).equals(frame_without_run(local))


def strip_run(data: bytes) -> int:
    return len(data)


def frame_without_run(run: Path):  # type: ignore[no-untyped-def]
    return read(run).records.drop(columns=["run"]).reset_index(drop=True)


@pytest.mark.parametrize("engine", ["local", "ray", "flower"])
def test_a_failing_client_stops_the_run_and_is_named(quick_run: Run, engine: str) -> None:
    with pytest.raises(
        ClientFailed, match=r"(?s)client 2 failed in round 2 \(after_local\).*the answer is not a number"
    ):
        quick_run(
            f"engine={engine}",
            "algorithm.client._target_=tests.odd_clients.FailingClient",
            "+algorithm.client.client=2",
            "+algorithm.client.server_round=2",
        )


def test_a_failing_client_can_be_dropped_and_is_recorded(quick_run: Run) -> None:
    run = quick_run(
        "engine=local",
        "on_client_error=drop",
        "algorithm.client._target_=tests.odd_clients.FailingClient",
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
            "algorithm.client._target_=tests.odd_clients.FailingClient",
            "+algorithm.client.client=0",
            "+algorithm.client.server_round=1",
        )


def test_more_than_the_machine_has_is_refused(quick_run: Run) -> None:
    with pytest.raises(UserError, match=r"engine.client_cpus must be at most the \d+ CPUs"):
        quick_run("engine=ray", "engine.client_cpus=4000")
    with pytest.raises(UserError, match=r"engine.client_gpus must be at most the \d+ GPUs"):
        quick_run("engine=ray", "engine.client_gpus=4000")


def test_engine_address_joins_a_running_cluster_and_several_runs_share_it(
    local: Path, quick_run: Run, tables: Tables
) -> None:
    ray.shutdown()
    context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    address = context.address_info["address"]
    for _ in range(2):
        assert tables(quick_run("engine=ray", f"engine.address='{address}'")) == tables(local)
    assert ray.is_initialized()
    ray.shutdown()


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


def sizes(costs: list[float], chunks: Chunks, most: int | None = None) -> list[int]:
    found = []
    while costs:
        found.append(chunks.next(costs, most))
        costs = costs[found[-1] :]
    return found


def test_chunks_cover_the_work_and_shrink() -> None:
    found = sizes([1.0] * 100, Chunks(workers=4))
    assert sum(found) == 100
    assert found == sorted(found, reverse=True)
    assert found[:4] == [12] * 4
    assert found[-4:] == [1] * 4


def test_cheap_work_is_sent_in_one_dispatch_per_worker() -> None:
    assert sizes([1.0] * 10, Chunks(workers=2, smallest=1e9)) == [5, 5]
    assert sizes([1.0] * 10, Chunks(workers=2, smallest=4.0)) == [4, 4, 1, 1]
    assert sizes([1.0] * 100, Chunks(workers=2, smallest=1e9), most=30) == [30, 30, 20, 20]
    assert sizes([7.0], Chunks(workers=3)) == [1]


def test_the_costliest_client_travels_alone() -> None:
    assert sizes([50.0, *[1.0] * 50], Chunks(workers=2))[0] == 1
