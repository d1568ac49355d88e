"""Workers that stay from run to run of a sweep: the same processes, the same numbers, and none is left over."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray
from flwr.clientapp import ClientApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import Stopped
from fedlayers.engines.base import Workplace
from fedlayers.engines.ray import worker_pool
from fedlayers.engines.ray.engine import RayGrid
from fedlayers.engines.ray.worker_pool import end_kept, workers_kept

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without kept workers, which the other tests have."""
    monkeypatch.setattr(worker_pool, "_keeps", False)
    end_kept()
    yield
    end_kept()


def new_grid(folder: Path, cpus: float = 0.1) -> RayGrid:
    place = Workplace(ClientApp(), [1, 1], folder, threading.Event(), lambda _: None)
    return RayGrid(place, Engine(name="ray", workers=1, client_cpus=cpus))


def process_id(folder: Path, cpus: float = 0.1) -> int:
    """Return the process of a grid's worker; the grid is closed."""
    grid = new_grid(folder, cpus)
    try:
        # Not worker_pids: a kept worker may have died, and is replaced.
        while not grid._workers.present():
            grid._workers.wait([])
        return grid.worker_pids()[0]
    finally:
        grid.close()


def has_ended(pid: int) -> bool:
    found = [psutil.Process(pid)] if psutil.pid_exists(pid) else []
    return not psutil.wait_procs(found, timeout=60)[1]


def endless(_shared: None, item: int) -> int:
    threading.Event().wait(60)
    return item


def test_the_next_run_has_the_same_worker_until_it_asks_for_another_or_the_block_ends(tmp_path: Path) -> None:
    with workers_kept():
        first = process_id(tmp_path)
        with workers_kept():
            assert process_id(tmp_path) == first
        assert process_id(tmp_path) == first
        second = process_id(tmp_path, cpus=0.2)
        assert second != first
        assert has_ended(first)
    assert has_ended(second)


def test_without_the_block_it_ends_with_its_run(tmp_path: Path) -> None:
    assert has_ended(process_id(tmp_path))


def test_one_that_died_meanwhile_is_replaced(tmp_path: Path) -> None:
    with workers_kept():
        first = process_id(tmp_path)
        os.kill(first, signal.SIGKILL)
        second = process_id(tmp_path)
        assert second != first
        assert process_id(tmp_path) == second


def test_one_that_is_at_work_when_its_run_ends_is_not_kept_nor_is_one_of_another_ray(tmp_path: Path) -> None:
    with workers_kept():
        grid = new_grid(tmp_path)
        busy = grid.worker_pids()[0]
        threading.Timer(0.5, grid.workplace.stop.set).start()
        with pytest.raises(Stopped, match=r"^$"):
            grid.parallel_map(endless, None, range(8))
        grid.close()
        assert has_ended(busy)
        kept = process_id(tmp_path)
        ray.shutdown()
        assert has_ended(kept)
        assert process_id(tmp_path) != kept


def test_runs_of_kept_workers_have_the_numbers_of_runs_alone(quick_run: Run, tables: Tables) -> None:
    runs = [["algorithm=local", "seed=1"], ["algorithm=ifca", "seed=1", "deterministic=true"], ["seed=2"]]
    alone = [tables(quick_run("engine=local", *words)) for words in runs]
    with workers_kept():
        assert [tables(quick_run("engine=ray", "engine.workers=1", *words)) for words in runs] == alone
