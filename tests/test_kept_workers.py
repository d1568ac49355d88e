"""Workers that stay from run to run of a sweep: the same processes, the same numbers, and none is left over."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from flwr.clientapp import ClientApp

from fedlayers.config import Engine
from fedlayers.engines import kept_workers
from fedlayers.engines.base import Workplace
from fedlayers.engines.kept_workers import end_kept, workers_kept
from fedlayers.engines.ray import RayGrid
from fedlayers.errors import Stopped

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end without kept workers, which the other tests have."""
    monkeypatch.setattr(kept_workers, "_keeps", False)
    end_kept()
    yield
    end_kept()


def new_grid(folder: Path, cpus: float = 0.1) -> RayGrid:
    place = Workplace(ClientApp(), [1, 1], folder, threading.Event(), lambda _: None)
    return RayGrid(place, Engine(name="ray", workers=2, client_cpus=cpus))


def process_ids(folder: Path, cpus: float = 0.1) -> set[int]:
    grid = new_grid(folder, cpus)
    try:
        return set(grid.worker_pids())
    finally:
        grid.close()


def have_ended(pids: set[int]) -> bool:
    found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return not psutil.wait_procs(found, timeout=10)[1]


def endless(_shared: None, item: int) -> int:
    threading.Event().wait(60)
    return item


def test_the_next_run_has_the_same_workers_until_the_block_ends(tmp_path: Path) -> None:
    with workers_kept():
        first = process_ids(tmp_path)
        with workers_kept():
            assert process_ids(tmp_path) == first
        assert process_ids(tmp_path) == first
    assert have_ended(first)


def test_without_the_block_they_end_with_their_run(tmp_path: Path) -> None:
    assert have_ended(process_ids(tmp_path))


def test_workers_that_ask_for_something_else_make_room(tmp_path: Path) -> None:
    with workers_kept():
        first = process_ids(tmp_path)
        assert not process_ids(tmp_path, cpus=0.2) & first
        assert have_ended(first)


def test_one_that_died_meanwhile_is_replaced(tmp_path: Path) -> None:
    with workers_kept():
        first = process_ids(tmp_path)
        os.kill(min(first), signal.SIGKILL)
        grid = new_grid(tmp_path)
        while len(grid._workers.present()) < 2:
            grid._workers.wait([])
        assert max(first) in grid.worker_pids()
        assert min(first) not in grid.worker_pids()
        grid.close()


def test_one_that_is_at_work_when_its_run_ends_is_not_kept(tmp_path: Path) -> None:
    with workers_kept():
        grid = new_grid(tmp_path)
        busy = set(grid.worker_pids())
        threading.Timer(0.5, grid.workplace.stop.set).start()
        with pytest.raises(Stopped, match=r"^$"):
            grid.spread(endless, None, range(8))
        grid.close()
        assert have_ended(busy)


def test_runs_of_kept_workers_have_the_numbers_of_runs_alone(quick_run: Run, tables: Tables) -> None:
    runs = [["algorithm=local", "seed=1"], ["algorithm=ifca", "seed=1", "deterministic=true"], ["seed=2"]]
    alone = [tables(quick_run("engine=local", *words)) for words in runs]
    with workers_kept():
        assert [tables(quick_run("engine=ray", "engine.workers=2", *words)) for words in runs] == alone
