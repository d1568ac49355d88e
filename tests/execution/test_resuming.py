"""Where a run goes on: other numbers of rounds than before, data that are others by now, and how long it took."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlayers.core.errors import UserError
from fedlayers.data.source import Arrays, DatasetFacts
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import read
from fedlayers.runs.wall_time import sign_of_life
from fedlayers.studies.aggregate import aggregate
from fedlayers.studies.status import study_status
from tests.execution.test_resume import Crash, crash_at

Run = Callable[..., Path]
Tables = Callable[[Path], dict[str, bytes]]
WORDS = ["engine=local", "clients=2", "metrics=[evaluation]", "snapshots.rounds=[last]"]


def run_of(quick_run: Run, folder: Path, *words: str) -> Path:
    return quick_run(*WORDS, *words, folder=folder)


def killed(quick_run: Run, folder: Path, server_round: int | str, *words: str, place: str = "_train") -> Path:
    with crash_at(place, server_round), pytest.raises(Crash):
        run_of(quick_run, folder, *words)
    return next((folder / "main").glob("*-s0-*"))


def scores(run: Path, moment: str) -> dict[int, float]:
    """Return round -> loss on the server's test set at a moment."""
    rows = read(run).records.query("metric == 'loss' and scope == 'server_test' and moment == @moment")
    return dict(zip(rows["round"].astype(int), rows["value"], strict=True))


@pytest.fixture(scope="module")
def straight(quick_run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Runs of so many rounds that nothing disturbed."""
    return {rounds: run_of(quick_run, tmp_path_factory.mktemp("s"), f"rounds={rounds}") for rounds in (2, 4)}


def test_fewer_rounds_than_there_are_is_refused_and_changes_nothing(
    quick_run: Run, tables: Tables, straight: dict[int, Path], tmp_path: Path
) -> None:
    run = killed(quick_run, tmp_path, 4, "rounds=5")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "log.txt"}
    sentence = r"rounds must be 3 or more to go on with .*, which holds 3 rounds, got 2; ask for rounds=5, or .*study="
    with pytest.raises(UserError, match=sentence):
        run_of(quick_run, tmp_path, "rounds=2")
    assert {path: path.read_bytes() for path in before} == before
    assert tables(run_of(quick_run, tmp_path, "rounds=4")) == tables(straight[4])


def test_a_finished_run_is_not_taken_for_one_of_fewer_rounds(quick_run: Run, straight: dict[int, Path]) -> None:
    run = straight[4]
    before = (run / "run.json").read_bytes()
    with pytest.raises(
        UserError, match=r"rounds must be 4 or more for .* finished with 4 rounds, got 2; ask for rounds=4"
    ):
        run_of(quick_run, run.parent.parent, "rounds=2")
    assert (run / "run.json").read_bytes() == before


def test_a_round_that_was_one_of_more_is_repeated_as_the_last(
    quick_run: Run, tables: Tables, straight: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed(quick_run, tmp_path, 3, "rounds=5")
    run = run_of(quick_run, tmp_path, "rounds=2")
    assert "round 2 was one of 5: it is repeated as the last one" in capsys.readouterr().out
    assert tables(run) == tables(straight[2])
    assert (run / "snapshots" / "server@2.safetensors").is_file()
    assert (run_facts(run)["rounds"], run_facts(run)["round"], run_facts(run)["status"]) == (2, 2, "complete")


def test_it_is_refused_where_it_cannot_be_repeated(quick_run: Run, tmp_path: Path) -> None:
    run = killed(quick_run, tmp_path, 3, "rounds=5")
    (run / "state" / "server@1.json").unlink()
    with pytest.raises(
        UserError, match=r"rounds must be 3 or more .*, got 2: round 2 was not measured as the last one"
    ):
        run_of(quick_run, tmp_path, "rounds=2")


@pytest.mark.parametrize(("place", "server_round", "reached"), [("_train", 4, 3), ("_train", 3, 2), ("commit", 3, 2)])
def test_the_end_of_a_finished_run_stays_until_more_rounds_have_theirs(
    quick_run: Run, straight: dict[int, Path], tmp_path: Path, place: str, server_round: int, reached: int
) -> None:
    run = run_of(quick_run, tmp_path, "rounds=2")
    end = {path: path.read_bytes() for path in [run / "done.json", *run.glob("*/final.parquet")]}
    killed(quick_run, tmp_path, server_round, "rounds=4", place=place)
    assert {path: path.read_bytes() for path in end} == end
    assert scores(run, "final") == scores(straight[2], "final") and list(scores(run, "final")) == [2]
    assert (run_facts(run)["status"], run_facts(run)["round"]) == ("failed", reached)
    assert not aggregate(run.parent).complete
    assert study_status(run.parent)[0].state != "done"
    assert run_of(quick_run, tmp_path, "rounds=4") == run
    assert scores(run, "final") == scores(straight[4], "final") and list(scores(run, "final")) == [4]
    assert json.loads((run / "done.json").read_text())["rounds"] == 4
    assert aggregate(run.parent).complete == (run.name,)


def test_the_first_command_after_more_rounds_were_cut_short(
    quick_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(quick_run, tmp_path, "rounds=2")
    before = (run / "done.json").read_bytes()
    killed(quick_run, tmp_path, 3, "rounds=4")  # before any was reached: the run of two is as it was
    assert run_facts(run)["status"] == "failed"
    run_of(quick_run, tmp_path, "rounds=2")
    assert f"already complete: {run} (2 rounds)" in capsys.readouterr().out
    assert (run_facts(run)["status"], run_facts(run)["rounds"]) == ("complete", 2)
    killed(quick_run, tmp_path, 4, "rounds=4")
    with pytest.raises(UserError, match=r"holds 3 rounds \(and the end after 2, which is kept .*; ask for rounds=4"):
        run_of(quick_run, tmp_path, "rounds=2")
    assert (run / "done.json").read_bytes() == before


def test_a_kill_around_the_end_repeats_only_the_end(
    quick_run: Run, tables: Tables, straight: dict[int, Path], tmp_path: Path
) -> None:
    run = run_of(quick_run, tmp_path, "rounds=2")
    killed(quick_run, tmp_path, "final", "rounds=4", place="write_part")
    assert list(scores(run, "final")) == [2]
    killed(quick_run, tmp_path, 4, "rounds=4", place="finish")
    assert run_facts(run)["status"] != "complete" and RunFolder(run).last_round() == 4
    assert scores(run_of(quick_run, tmp_path, "rounds=4"), "final") == scores(straight[4], "final")


class OfAFile:
    """Thirty rows that a file decides: its text is the seed of some of them."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def files(self, root: Path) -> Sequence[Path]:
        return [self.path]

    def read(self, root: Path) -> Arrays:
        features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
        features[-1] += int(self.path.read_text())
        return Arrays(features, np.arange(60) % 2, DatasetFacts(("a", "b"), columns=("w", "x", "y", "z")))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_text("1")
    return path


def own(data: Path, *words: str) -> list[str]:
    target = ["dataset._target_=tests.execution.test_resuming.OfAFile", f"+dataset.path={data}", "dataset.name=own"]
    return [*target, "examples_per_client=null", *words]


def test_data_that_changed_is_another_run(
    quick_run: Run, tables: Tables, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = tables(run_of(quick_run, tmp_path / "other", *own(data)))
    run = killed(quick_run, tmp_path, 2, *own(data))
    data.write_text("22")
    sentence = (
        r"dataset: the data must be as when .* was begun \(digest (\w+)\), got other content \(digest (\w+)\); put"
    )
    with pytest.raises(UserError, match=sentence) as caught:
        run_of(quick_run, tmp_path, *own(data))
    assert str(caught.value).endswith("put the old one back to go on, or start the run anew with force=true")
    data.write_text("1")
    assert tables(run_of(quick_run, tmp_path, *own(data))) == straight
    run_of(quick_run, tmp_path, *own(data))
    assert "already complete" in capsys.readouterr().out
    data.write_text("22")
    with pytest.raises(UserError, match=sentence):
        run_of(quick_run, tmp_path, *own(data))
    assert tables(run_of(quick_run, tmp_path, *own(data), "force=true")) != straight
    data.unlink()
    run_of(quick_run, tmp_path, *own(data))  # nothing to look at
    assert tables(run) != straight


def test_an_init_that_changed_is_another_run(quick_run: Run, tmp_path: Path) -> None:
    first = run_of(quick_run, tmp_path / "first", "rounds=1")
    words = [f"init={first}", "rounds=3"]
    killed(quick_run, tmp_path, 2, *words)
    kept = Path(shutil.copytree(first, tmp_path / "kept"))
    run_of(quick_run, tmp_path / "first", "rounds=2")
    with pytest.raises(
        UserError, match=r"init: the model it names must be as when .*\(digest \w+\), got other content"
    ):
        run_of(quick_run, tmp_path, *words)
    shutil.rmtree(first)
    shutil.copytree(kept, first)
    run_of(quick_run, tmp_path, *words)


def test_the_time_of_a_killed_process_counts(quick_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = killed(quick_run, tmp_path, 2)
    facts: dict[str, Any] = json.loads((run / "run.json").read_text())
    (last,) = facts["stretches"]
    # What kill -9 leaves: no end of the stretch, and the lock as it was touched last.
    del last["wall_s"]
    facts |= {"wall_s": 1.0, "status": "running"}
    last["began"] = time.time() - 100
    (run / "run.json").write_text(json.dumps(facts))
    monkeypatch.setattr("fedlayers.execution.execute.sign_of_life", lambda _: time.time() - 60)
    run_of(quick_run, tmp_path)
    assert 40 <= run_facts(run)["wall_s"] < 60
    assert json.loads((run / "done.json").read_text())["wall_s"] == run_facts(run)["wall_s"]


def test_a_lock_says_when_its_process_lived(tmp_path: Path) -> None:
    assert sign_of_life(tmp_path) is None
    (tmp_path / "run.lock").touch()
    os.utime(tmp_path / "run.lock", (1e9, 1e9))
    assert sign_of_life(tmp_path) == 1e9


def test_the_time_so_far_is_told_with_every_round(quick_run: Run, tmp_path: Path) -> None:
    seen: list[float] = []
    original = RunFolder.write_facts

    def noting(self: RunFolder, facts: dict[str, Any]) -> None:
        original(self, facts)
        seen.append(facts.get("wall_s", 0.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "write_facts", noting)
        run_of(quick_run, tmp_path)
    times = list(dict.fromkeys(seen))
    assert times == sorted(times) and len(times) >= 4
