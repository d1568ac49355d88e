"""Runs whose clients train as one: the same bytes wherever they run, and for each client what it has by itself."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from fedlayers.execution.rounds import RoundLoop
from fedlayers.runs.reading.tables import read

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]

# Seven clients with unequal numbers of examples: two cohorts, of which the last is smaller.
SEVEN = ["clients=7", "partition=dirichlet", "partition.alpha=3", "training.cohort=4", "metrics=[evaluation,weights]"]


@pytest.fixture(scope="module")
def as_one(quick_run: Run) -> Path:
    return quick_run("engine=local", *SEVEN)


def assert_close(run: Path, other: Path, tolerance: float = 1e-4) -> None:
    """Check that two runs have the same rows, and values that differ by rounding alone."""
    found, expected = (read(path).records.drop(columns=["run"]) for path in (run, other))
    columns = [name for name in found if name not in ("value", "stderr", "chance", "chance_hi", "p")]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    np.testing.assert_allclose(found["value"], expected["value"], rtol=tolerance, atol=tolerance)


def one_by_one(quick_run: Run, *overrides: str) -> Path:
    return quick_run("engine=local", *(word for word in overrides if not word.startswith("training.cohort")))


def test_clients_that_train_as_one_come_to_the_same_as_one_by_one(quick_run: Run, as_one: Path) -> None:
    alone = one_by_one(quick_run, *SEVEN)
    assert alone.name != as_one.name
    assert_close(as_one, alone)
    for path in (as_one, alone):
        seconds = read(path).resources.query("metric == 'train_s'")
        assert len(seconds) == 14 and (seconds["value"] >= 0).all()


@pytest.mark.parametrize(
    "overrides",
    [
        ["algorithm=local", "training.optimizer=adam"],
        ["algorithm=ifca", "training.clip_norm=1"],
        ["algorithm=fedprox", "algorithm.mu=0.5", "plan=personal", "plan.personal=[fc2]"],
        ["model=cnn", "model.hidden=8", "training.augment=[rotation]", "fraction=0.5", "rounds=1"],
        ["algorithm=scaffold"],
        ["algorithm=ditto", "training.optimizer_state=carried"],
        ["algorithm=fedrep"],
    ],
    ids=["local", "ifca", "fedprox", "cnn", "scaffold", "ditto", "fedrep"],
)
def test_with_any_algorithm(quick_run: Run, overrides: list[str]) -> None:
    common = ["training.cohort=3", "clients=4", *overrides]
    assert_close(quick_run("engine=local", *common), one_by_one(quick_run, *common))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_have_whole_cohorts_and_the_same_bytes(
    quick_run: Run, tables: Tables, as_one: Path, workers: int
) -> None:
    run = quick_run("engine=ray", "engine.client_cpus=0.5", f"engine.workers={workers}", *SEVEN)
    assert run.name == as_one.name
    assert tables(run) == tables(as_one)


@pytest.mark.slow
def test_a_cohort_whose_worker_dies_is_run_again_as_a_whole(quick_run: Run, as_one: Path, tmp_path: Path) -> None:
    marker = tmp_path / "died"
    dying = ["algorithm.client._target_=tests.support.odd_clients.DyingClient", f"+algorithm.client.marker={marker}"]
    run = quick_run("engine=ray", "engine.client_cpus=0.5", "engine.workers=2", *SEVEN, *dying)
    assert marker.exists()
    found, expected = (read(path).records.drop(columns=["run"]) for path in (run, as_one))
    assert found.equals(expected)


class Crash(BaseException):
    """Stands for a kill."""


def test_a_killed_run_goes_on_with_the_same_bytes(quick_run: Run, tables: Tables, as_one: Path, tmp_path: Path) -> None:
    original = RoundLoop._evaluate

    def dying(loop: RoundLoop, server_round: int, *rest: object) -> object:
        if server_round == 2:
            raise Crash
        return original(loop, server_round, *rest)  # type: ignore[arg-type]

    with mock.patch.object(RoundLoop, "_evaluate", dying), pytest.raises(Crash):
        quick_run("engine=local", *SEVEN, folder=tmp_path)
    assert tables(quick_run("engine=local", *SEVEN, folder=tmp_path)) == tables(as_one)


def test_one_that_fails_is_dropped_and_the_others_stay(quick_run: Run) -> None:
    words = ["algorithm.client._target_=tests.support.odd_clients.FailingClient", "on_client_error=drop"]
    words += ["+algorithm.client.client=1", "+algorithm.client.server_round=1", "training.cohort=4"]
    together, alone = quick_run("engine=local", *words), one_by_one(quick_run, *words)
    assert_close(together, alone)
    assert read(together).records.query("status == 'missing'")["client"].eq(1).any()


def test_why_they_train_one_by_one_is_told_once(quick_run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["clients=4", "training.cohort=2", "model.dropout=0.5"]
    together = quick_run("engine=local", *words, "progress=plain")
    told = [line for line in "".join(capfd.readouterr()).splitlines() if "one by one" in line]
    assert told == [
        "note: clients train one by one, not several as one: MLP has dropout, which draws for each client by itself"
    ]
    assert_close(together, one_by_one(quick_run, *words), tolerance=0)


def test_what_is_measured_at_once_is_what_each_measures_alone(quick_run: Run) -> None:
    common = [
        *("clients=5", "model=cnn", "model.hidden=8", "rounds=1", "partition=dirichlet", "training.cohort=3"),
        *("metrics=[evaluation,gradients,sensitivity]", "metrics.sensitivity.batch_examples=4"),
        "metrics.sensitivity.second_order_batches=1",
    ]
    assert_close(quick_run("engine=local", *common), one_by_one(quick_run, *common))
