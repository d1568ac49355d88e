"""The server's large work on Ray's workers: same bits, in order, whoever dies, fails or stops it."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from flwr.clientapp import ClientApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import Stopped, WorkerLost
from fedlayers.core.machine.devices import threads
from fedlayers.engines.base import EngineGrid, Workplace
from fedlayers.engines.local import LocalGrid
from fedlayers.engines.ray.engine import RayGrid
from metrics import parallel

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
Case = tuple[Path, int]
NAMES = (
    "l2_dst,mean-cka_distance,model_cosine_dst,'mean&full-procrustes_dst',nb-l1_dst,symmetric_trusted_dst,wasserstein_dst,"
    "sign_dst"
)
COMPARED = ("metrics=[distances,clusters]", f"metrics.distances.names=[{NAMES}]", "clients=5")

pytestmark = pytest.mark.slow


def workplace(folder: Path) -> Workplace:
    return Workplace(ClientApp(), [1] * 4, folder, threading.Event(), lambda _: None)


def ray_grid(folder: Path, workers: int) -> RayGrid:
    # Small shares of a CPU: several grids, and the runs, find place beside each other.
    return RayGrid(workplace(folder), Engine(name="ray", workers=workers, client_cpus=0.1))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayGrid]:
    found = ray_grid(tmp_path_factory.mktemp("shared"), workers=2)
    yield found
    found.close()


@pytest.fixture
def own_grid(tmp_path: Path) -> Iterator[RayGrid]:
    found = ray_grid(tmp_path, workers=1)
    yield found
    found.close()


def whereabouts(shared: np.ndarray, item: int) -> tuple[int, int, float, bool]:
    return item, os.getpid(), float(shared[item]), bool(shared.flags.writeable)


def row_of_products(rows: np.ndarray, item: int) -> np.ndarray:
    found: np.ndarray = rows @ rows[item]
    return found


def refused(shared: int, item: int) -> int:
    """Fail on some items; later ones fail with more to say."""
    if item >= shared:
        raise FloatingPointError(f"item {item} is not a number")
    return item


def deadly_once(shared: Case, item: int) -> int:
    marker, driver = shared
    if item == 7 and os.getpid() != driver and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def deadly(shared: int, item: int) -> int:
    if item == 7 and os.getpid() != shared:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def endless(_shared: None, item: int) -> int:
    threading.Event().wait(60)
    return item


def thread_count(_shared: None, _item: int) -> int:
    return torch.get_num_threads()


def test_results_are_in_order_and_arrays_are_shared(grid: RayGrid) -> None:
    values = np.arange(2000.0)
    # Nobody waits for a worker that has not started.
    while len(grid._workers.present()) < 2:
        grid._workers.wait([])
    found = grid.parallel_map(whereabouts, values, range(2000))
    assert [(item, value) for item, _, value, _ in found] == list(enumerate(values))
    assert {pid for _, pid, _, _ in found} == set(grid.worker_pids())
    # Written to by nobody: it is the one array in shared memory.
    assert not any(writeable for *_, writeable in found)


def test_there_may_be_no_items_or_one(grid: RayGrid) -> None:
    assert grid.parallel_map(refused, 5, []) == []
    assert grid.parallel_map(refused, 5, [3]) == [3]


def test_one_task_after_another(grid: RayGrid) -> None:
    for shift in range(5):
        assert grid.parallel_map(lambda shared, item: shared + item, shift, range(9)) == [shift + k for k in range(9)]


def test_products_are_the_same_bits(grid: RayGrid, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((60, 3001))
    with threads(1):
        here, there = (g.parallel_map(row_of_products, rows, range(60)) for g in (LocalGrid(workplace(tmp_path)), grid))
    assert [row.tobytes() for row in there] == [row.tobytes() for row in here]


@pytest.mark.parametrize("count", [1, 2])
def test_workers_use_the_callers_threads(grid: RayGrid, count: int) -> None:
    with threads(count):
        assert set(grid.parallel_map(thread_count, None, range(4))) == {count}


@pytest.mark.parametrize("first", [0, 3, 39])
def test_the_first_exception_reaches_the_caller_as_itself(grid: RayGrid, tmp_path: Path, first: int) -> None:
    for engine in (grid, LocalGrid(workplace(tmp_path))):
        with pytest.raises(FloatingPointError, match=f"^item {first} is not a number$"):
            engine.parallel_map(refused, first, range(40))
    assert grid.parallel_map(refused, 99, range(40)) == list(range(40))


def test_what_cannot_be_pickled_is_computed_here(grid: RayGrid) -> None:
    lock = threading.Lock()
    found = grid.parallel_map(lambda shared, item: (shared.locked(), item, os.getpid()), lock, range(3))
    assert found == [(False, item, os.getpid()) for item in range(3)]
    locks = grid.parallel_map(lambda shared, item: [threading.Lock()] * item, None, range(4))
    assert [len(found) for found in locks] == [0, 1, 2, 3]


def test_a_worker_that_dies_is_replaced(own_grid: RayGrid, tmp_path: Path) -> None:
    before = own_grid.worker_pids()
    marker = tmp_path / "died"
    assert own_grid.parallel_map(deadly_once, (marker, os.getpid()), range(40)) == [k * k for k in range(40)]
    assert marker.exists()
    assert len(set(own_grid.worker_pids()) - set(before)) == 1


def test_an_item_that_kills_again_and_again_is_given_up(own_grid: RayGrid) -> None:
    with pytest.raises(WorkerLost, match=r"died 3 times in a row at the same work of the server.*engine\.workers"):
        own_grid.parallel_map(deadly, os.getpid(), range(20))


def test_a_signal_stops_it(own_grid: RayGrid) -> None:
    timer = threading.Timer(0.5, own_grid.workplace.stop.set)
    own_grid.worker_pids()
    timer.start()
    with pytest.raises(Stopped, match=r"^$"):
        own_grid.parallel_map(endless, None, range(8))
    local = LocalGrid(own_grid.workplace)
    with pytest.raises(Stopped, match=r"^$"):
        local.parallel_map(endless, None, range(8))


@pytest.fixture(scope="module")
def unmapped(quick_run: Run) -> Path:
    return quick_run("engine=local", *COMPARED)


@pytest.mark.parametrize(
    "engine",
    [
        ["engine=local"],
        *(["engine=ray", f"engine.workers={workers}", "engine.client_cpus=0.1"] for workers in (1, 3)),
    ],
    ids=str,
)
def test_runs_have_the_same_tables(
    unmapped: Path, quick_run: Run, tables: Tables, monkeypatch: pytest.MonkeyPatch, engine: Sequence[str]
) -> None:
    monkeypatch.setattr(parallel, "TRIAL_S", 0.0)
    monkeypatch.setattr(parallel, "LARGE_S", -1.0)
    monkeypatch.setattr(parallel, "LARGE_S_PER_BYTE", 0.0)
    kind: Any = LocalGrid if engine == ["engine=local"] else RayGrid
    mapped: Any = kind.parallel_map
    sent: list[int] = []

    def noted(self: EngineGrid, function: Any, shared: Any, items: Sequence[Any]) -> list[Any]:
        sent.append(len(items))
        return list(mapped(self, function, shared, items))

    with mock.patch.object(kind, "parallel_map", noted):
        run = quick_run(*engine, *COMPARED)
    assert sum(sent) > 200
    assert tables(run) == tables(unmapped)
