"""Fixtures that several test files share."""

import copy
import gc
import logging
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

# Several workers test at once: each with the threads of all cores, they would wait for one another. Before numpy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Processes that tests start find the program from any folder, and what the machine keeps on this path besides.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")])
)

# What is compiled up to the first test is kept beside its source, whatever the environment says: compiling anew takes a
# third of collecting the tests, and more than half of what each process that a test starts imports of ours.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False

import numpy as np
import pytest
import torch
import yaml

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config
from fedlayers.engines.ray.worker_pool import workers_kept
from fedlayers.execution.execute import execute
from tests.support import metric_views
from tests.support.browser import started_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Hydra reads some thirty files for each of hundreds of configurations: libyaml does it in a tenth of the time.
yaml.SafeLoader = yaml.CSafeLoader  # type: ignore[misc, assignment]

QUICK = [
    "clients=4",
    "rounds=2",
    "examples_per_client=60",
    "partition=iid",
    "model.hidden=[16]",
    "metrics=[evaluation,weights]",
    "training.batch_size=16",
    "progress=none",
    "figures=false",
]

# What brings a model without hidden layers to set.
WITHOUT_HIDDEN = {"model=greedy_mlp", "model=deep_mlp", "model=forward_forward", "model=vision_transformer"}
WITHOUT_HIDDEN |= {"dataset=sms", "dataset=Shakespeare"}


# The device of a test that asks for one, last; others leave it to ``device=auto``.
asked_for: list[str] = []


def seed_everything() -> None:
    """Let whoever draws without a generator of its own draw the same, in any order of tests and on any machine."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Seed what a test module draws when it is imported."""
    if isinstance(collector, pytest.Module):
        seed_everything()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: "pytest.FixtureDef[object]") -> None:
    """Seed what a fixture draws that several tests share, whichever of them comes first."""
    if fixturedef.scope != "function":
        seed_everything()


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed what a test draws."""
    seed_everything()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mix slow files, which start Ray, with fast ones, for several at once slow each other down.

    The one that waits for SLURM is first, and fast ones are last: at the end no process is left with a slow one.
    """
    slow = dict.fromkeys(item.path for item in items if item.get_closest_marker("slow"))
    fast = dict.fromkeys(item.path for item in items if item.path not in slow)
    step = len(fast) // (2 * len(slow) + 1) + 1
    places = {path: float(place) for place, path in enumerate(fast)}
    places |= {path: place * step - 0.5 for place, path in enumerate(sorted(slow, key=_waits_for_slurm))}
    items.sort(key=lambda item: places[item.path])


def _waits_for_slurm(path: Path) -> bool:
    return path.name != "test_slurm.py"


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what all modules have brought: it takes a tenth of the tests' time.

    What tests themselves write and import is compiled and kept as the environment says.
    """
    sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """Yield one device after the other: the CPU, and a GPU where there is one.

    Support makes there what is measured, and ``quick_run`` runs there.
    """
    metric_views.where[0] = torch.device(request.param)
    asked_for.append(request.param)
    yield metric_views.where[0]
    asked_for.pop()
    metric_views.where[0] = torch.device("cpu")


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Yield the machine's Chromium: one for all that runs in a process, which can have no second one."""
    with started_browser() as found:
        yield found


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Leave the root logger as it was: Hydra points it at a stream that is closed when its test ends."""
    root = logging.getLogger()
    level, before = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in before and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def wait_for_no_disk() -> Iterator[None]:
    """Let files reach the disk when the system finds time: a run waits for it 35 times, and no test takes the power.

    That it is waited for, and when, tests/runs/test_folder.py looks at.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def keep_workers() -> Iterator[None]:
    """Keep Ray's workers from test to test, as a sweep does from run to run."""
    with workers_kept():
        yield


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that carries out a tiny run on the embedded digits and returns its folder."""

    def quick_run(*overrides: str, folder: Path | None = None) -> Path:
        results = folder or tmp_path_factory.mktemp("results")
        chosen = {word.split("=")[0].lstrip("+") for word in overrides}
        chosen |= {"model.hidden"} if WITHOUT_HIDDEN & set(overrides) else set()
        there = [f"device={device}" for device in asked_for[-1:]]
        defaults = [word for word in [*QUICK, *there] if word.split("=")[0] not in chosen]
        return execute(replace(copy.deepcopy(composed(*defaults, *overrides)), results_dir=str(results)))

    return quick_run


@lru_cache(maxsize=256)
def composed(*overrides: str) -> Config:
    """Return what overrides compose to: Hydra takes as long as the tiny run itself, and tests repeat their runs."""
    return compose_config(list(overrides))


def tables_of(run: Path) -> dict[str, bytes]:
    """Return the bytes of every part of the tables that must not differ between equal runs."""
    return {
        f"{table}/{path.name}": path.read_bytes()
        for table in ("records", "pairs", "spectra")
        for path in sorted((run / table).glob("*.parquet"))
    }


@pytest.fixture(scope="session")
def tables() -> Callable[[Path], dict[str, bytes]]:
    """Return :func:`tables_of`."""
    return tables_of
