"""Stopping, resuming, extending and starting from another run."""

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors
from fedlayers.execution.rounds import RoundLoop
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.reading.tables import read

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]


class Crash(BaseException):
    """Stands for a kill: nothing may clean up after it on purpose."""


@contextmanager
def crash_at(place: str, server_round: int | str) -> Iterator[None]:
    """Let the program die at a place of the round loop, or while a round or the final part is written to the folder."""
    owner = RoundLoop if hasattr(RoundLoop, place) else RunFolder
    original = getattr(owner, place)

    def dying(self: object, *args: object, **kwargs: object) -> object:
        if args and args[0] in (server_round, f"round={server_round:06d}" if isinstance(server_round, int) else ""):
            raise Crash
        return original(self, *args, **kwargs)

    with mock.patch.object(owner, place, dying):
        yield


@pytest.fixture(scope="module")
def undisturbed(quick_run: Run) -> dict[str, Path]:
    return {name: quick_run("rounds=3", "engine=local", f"algorithm={name}") for name in ("fedavg", "local", "fedadam")}


# Local keeps a state with every client, FedAdam one with the server; FedAvg goes the way of FedAdam with less to lose.
# Before round 1 nobody has a state, and nothing trains.
@pytest.mark.parametrize(
    ("server_round", "place", "algorithm"),
    [
        (0, "write_part", "fedavg"),
        *((0, place, "fedadam") for place in ("_evaluate", "_save", "write_part", "commit")),
        *(
            (2, place, algorithm)
            for place in ("_train", "_evaluate", "_save", "commit_clients", "write_part", "commit")
            for algorithm in ("local", "fedadam")
        ),
    ],
)
def test_killed_anywhere_it_continues_bit_for_bit(
    undisturbed: dict[str, Path],
    quick_run: Run,
    tables: Tables,
    tmp_path: Path,
    server_round: int,
    place: str,
    algorithm: str,
) -> None:
    overrides = ["rounds=3", "engine=local", f"algorithm={algorithm}"]
    with crash_at(place, server_round), pytest.raises(Crash):
        quick_run(*overrides, folder=tmp_path)
    run = quick_run(*overrides, folder=tmp_path)
    assert tables(run) == tables(undisturbed[algorithm])


def test_a_finished_run_says_so_and_is_left_alone(
    quick_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run(folder=tmp_path)
    before = (run / "run.json").read_bytes()
    assert quick_run(folder=tmp_path) == run
    assert "already complete" in capsys.readouterr().out
    assert (run / "run.json").read_bytes() == before


def test_more_rounds_continue_a_finished_run(undisturbed: dict[str, Path], quick_run: Run, tmp_path: Path) -> None:
    short = quick_run("rounds=1", "engine=local", folder=tmp_path)
    longer = quick_run("rounds=3", "engine=local", folder=tmp_path)
    assert longer == short
    both = [read(run).records for run in (longer, undisturbed["fedavg"])]
    chosen = [frame[(frame.metric == "loss")].reset_index(drop=True) for frame in both]
    assert chosen[0].equals(chosen[1])
    facts = json.loads((longer / "run.json").read_text())
    assert (facts["round"], facts["rounds"], facts["status"]) == (3, 3, "complete")
    assert [stretch["from_round"] for stretch in facts["stretches"]] == [0, 2]


def test_init_starts_from_another_runs_model(undisturbed: dict[str, Path], quick_run: Run) -> None:
    run = quick_run("engine=local", f"init={undisturbed['fedavg']}")
    accuracy = read(run).records.query("metric == 'loss' and scope == 'server_test'")
    before = read(undisturbed["fedavg"]).records.query("metric == 'loss' and scope == 'server_test'")
    start = accuracy[accuracy.moment == "start"].value.item()
    assert start == before[before.moment == "final"].value.item()


def test_init_must_be_a_run_with_the_same_model(undisturbed: dict[str, Path], quick_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="init must be the folder of a run with at least one round"):
        quick_run(f"init={tmp_path}")
    with pytest.raises(UserError, match="init must be a run with the same model"):
        quick_run(f"init={undisturbed['fedavg']}", "model.hidden=[17]")


def test_force_moves_the_old_folder_away(quick_run: Run, tables: Tables, tmp_path: Path) -> None:
    run = quick_run(folder=tmp_path)
    before = tables(run)
    assert quick_run("force=true", folder=tmp_path) == run
    assert tables(run) == before
    assert tables(run.parent / ".old" / f"{run.name}.0") == before


def test_a_folder_with_another_configuration_is_refused(quick_run: Run, tmp_path: Path) -> None:
    run = quick_run(folder=tmp_path)
    (run / "done.json").unlink()
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("identity:", "identity:\n  seed: 5\nother:"))
    with pytest.raises(UserError, match="holds another configuration under the same name"):
        quick_run(folder=tmp_path)


def test_snapshots_and_best_are_safetensors(quick_run: Run) -> None:
    run = quick_run("snapshots.rounds=[all]", "snapshots.clients=true", "engine=local")
    names = sorted(path.name for path in (run / "snapshots").iterdir())
    expected = ["best.safetensors", *(f"client{c}@{r}.safetensors" for c in range(4) for r in (1, 2))]
    assert names == sorted([*expected, "server@1.safetensors", "server@2.safetensors"])
    assert json.loads((run / "run.json").read_text())["best"]["round"] in (1, 2)


def test_a_strategy_that_cannot_be_saved_says_so_and_is_not_continued(
    quick_run: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    overrides = ["algorithm.strategy._target_=tests.support.odd_strategies.Forgetful", "engine=local", "progress=plain"]
    with crash_at("_train", 2), pytest.raises(Crash):
        quick_run(*overrides, folder=tmp_path)
    captured = capfd.readouterr()
    assert "cannot be continued" in captured.out + captured.err
    with pytest.raises(UserError, match=r"cannot be continued.*strategy.memory is a set"):
        quick_run(*overrides, folder=tmp_path)


def test_a_full_disk_is_named(quick_run: Run, tmp_path: Path) -> None:
    def full(self: RunFolder, *_: object) -> None:
        with disk_errors(self.path):
            raise OSError(errno.ENOSPC, "No space left on device", "part.parquet")

    sentence = r"cannot write part.parquet: the disk is full; .* the same command again"
    with mock.patch.object(RunFolder, "write_part", full), pytest.raises(UserError, match=sentence):
        quick_run("engine=local", folder=tmp_path)
    assert RunFolder(next((tmp_path / "main").glob("digits*"))).last_round() is None
    assert quick_run("engine=local", folder=tmp_path).is_dir()
