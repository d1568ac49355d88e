"""The three engines give the same numbers, and notice what goes wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from flwr.app import Message

from fedlayers.flower.sums import averaged

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
PERSONAL = ["algorithm=local", "metrics=[evaluation,weights]"]

EVERYTHING = (
    "metrics=[evaluation,weights,gradients,sensitivity,curvature,similarity,representation,originals]",
    "similarity=[cka,procrustes]",
    "metrics.weights.steps=[every 2,last]",
    "examples_per_client=100",
)

# Four workers on two cores; with the same share of them fewer are among those that were kept.
RAY = ["engine=ray", "engine.client_cpus=0.5"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def everything(quick_run: Run) -> Path:
    return quick_run("engine=local", *EVERYTHING)


@pytest.fixture(scope="module")
def local_personal(quick_run: Run) -> Path:
    return quick_run("engine=local", *PERSONAL)


@pytest.mark.parametrize("workers", [4, 2])
def test_ray_equals_local_bit_for_bit(everything: Path, quick_run: Run, tables: Tables, workers: int) -> None:
    run = quick_run(*RAY, f"engine.workers={workers}", *EVERYTHING)
    assert run.name == everything.name
    assert tables(run) == tables(everything)


@pytest.mark.parametrize("dispatch_s", [1e9, 0.0], ids=["cheap", "costly"])
def test_workers_add_up_whole_blocks_and_the_numbers_stay(quick_run: Run, tables: Tables, dispatch_s: float) -> None:
    overrides = ["clients=23", "rounds=3", "examples_per_client=30", "metrics=[evaluation]"]
    models: list[int] = []

    def noted(replies: list[Message], *rest: Any) -> list[Message]:
        models.append(sum("arrays" in reply.content for reply in replies))
        return averaged(replies, *rest)

    with (
        mock.patch("fedlayers.execution.rounds.averaged", noted),
        mock.patch("fedlayers.engines.ray.engine.DISPATCH_S", dispatch_s),
        mock.patch("fedlayers.engines.ray.engine.blocks_pay", lambda *_: True),
    ):
        alone = quick_run("engine=local", *overrides)
        assert models == [23] * 3
        shared = quick_run(*RAY, "engine.workers=2", *overrides)
    assert models[3:] == [0] * 3
    assert tables(shared) == tables(alone)


@pytest.mark.parametrize("engine", [RAY, ["engine=flower"]], ids=["ray", "flower"])
def test_personal_state_is_the_same_everywhere(
    local_personal: Path, quick_run: Run, tables: Tables, engine: list[str]
) -> None:
    run = quick_run(*engine, "engine.workers=1", *PERSONAL)
    assert tables(run) == tables(local_personal)
    assert sorted(path.name for path in (run / "state").glob("[0-9]@*")) == [
        f"{client}@{server_round}" for client in range(4) for server_round in (1, 2)
    ]


def test_flower_equals_local_bit_for_bit(everything: Path, quick_run: Run, tables: Tables) -> None:
    assert tables(quick_run("engine=flower", *EVERYTHING)) == tables(everything)
