"""What ``python -m fedlayers.status`` tells of a study, read from its folder."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedlayers.commands.status import main
from fedlayers.core.errors import UserError
from fedlayers.runs.expected.expected_runs import expected_runs, note_failure, write_expected
from fedlayers.runs.expected.living_sweeps import sweeping
from fedlayers.runs.lock import LockedError, lock
from fedlayers.runs.reading import pace
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.studies.forgetting import forget
from fedlayers.studies.launching.job import remember, remembered
from fedlayers.studies.status import STATES, RunStatus, describe, study_status
from tests.runs.test_lock import write_lock
from tests.support.terminals import terminal


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with a run in every state."""
    study = tmp_path / "s"
    write_expected(study, {key: [] for key in ["done", "running", "killed", "stopped", "failed", "refused", "later"]})
    write_facts(study / "done", status="complete", round=9, rounds=9, wall_s=75.0)
    write_end(study / "done")
    write_facts(study / "running", status="running", round=3, rounds=9)
    write_lock(study / "running", host="far", kernel="far", pid=7, job="12")
    for server_round, seconds in ((1, 100.0), (2, 2.0), (3, 4.0)):
        write_round(study / "running", server_round, seconds)
    write_facts(study / "killed", status="running", round=4, rounds=9)
    write_facts(study / "stopped", status="stopped", reason="Ctrl-C", round=None, rounds=9)
    write_facts(study / "failed", status="failed", reason="client 3 raised", round=2, rounds=9)
    note_failure(study / "refused", "algorithm.mu must be 0 or more, got -1.0")
    return study


def write_facts(run: Path, **facts: object) -> None:
    run.mkdir()
    (run / "run.json").write_text(json.dumps(facts))


def write_end(run: Path) -> None:
    """Write what a finished run has beside its facts, as versions did that kept no digests."""
    (run / "state").mkdir()
    for name, text in (("done.json", "{}"), ("config.yaml", "seed: 0"), ("state/server@9.json", "{}")):
        (run / name).write_text(text)
    pq.write_table(pa.table({"client": [0]}), run / "partition.parquet")


def write_round(run: Path, server_round: int, seconds: float) -> None:
    (run / "resources").mkdir(exist_ok=True)
    columns = {"metric": ["round_s", "train_s"], "moment": ["after_aggregate"] * 2, "value": [seconds, 99.0]}
    pq.write_table(pa.table(columns), run / "resources" / f"round={server_round:06d}.parquet")


def test_every_run_is_in_one_state_and_trouble_comes_first(study: Path) -> None:
    with mock.patch.object(pace, "_RECENT", 2):
        found = {one.run: (one.state, one.detail) for one in study_status(study)}
    assert found == {
        "failed": ("failed", "client 3 raised"),
        "refused": ("failed", "algorithm.mu must be 0 or more, got -1.0"),
        "killed": ("interrupted", "round 4 of 9, its process was killed"),
        "stopped": ("interrupted", "round 0 of 9, Ctrl-C"),
        "later": ("missing", "expected, but nobody is going to start it"),
        "running": ("running", "round 3 of 9, 3.0 s/round, about 18 s left, far, process 7, job 12"),
        "done": ("done", "9 rounds in 1 min 15 s"),
    }
    assert [one.state for one in study_status(study)] == sorted(
        [one.state for one in study_status(study)], key=STATES.index
    )


def test_a_run_whose_job_is_in_the_queue_waits(study: Path) -> None:
    remember(study / "killed", "40_1")
    remember(study / "later", "40_2")
    remember(study / "done", "39")
    answer = {"40_1": "PENDING", "40_2": "RUNNING"}
    with mock.patch("fedlayers.studies.launching.slurm.queued", return_value=answer):
        found = {one.run: (one.state, one.detail) for one in study_status(study)}
    assert found["killed"] == ("waiting", "round 4 of 9, job 40_1 pending")
    assert found["later"] == ("waiting", "job 40_2 running")
    assert found["done"][0] == "done"


def test_a_lock_without_a_heartbeat_is_no_running_run(study: Path) -> None:
    long_ago = time.time() - 1000
    os.utime(study / "running" / "run.lock", (long_ago, long_ago))
    found = {one.run: one.state for one in study_status(study)}
    assert found["running"] == "interrupted"


def test_the_facts_of_a_killed_run_say_so(study: Path) -> None:
    found = {name: run_facts(study / name) for name in ("running", "killed", "stopped")}
    assert {name: facts["status"] for name, facts in found.items()} == {
        "running": "running", "killed": "interrupted", "stopped": "stopped",
    }  # fmt: skip
    assert found["killed"]["reason"] == "its process was killed"
    os.utime(study / "running" / "run.lock", (0, 0))
    assert run_facts(study / "running")["status"] == "interrupted"


def test_the_text_counts_and_lists(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "7 runs: 1 done, 1 running, 1 missing, 2 interrupted, 2 failed"
    assert lines[1] == "  failed       failed   client 3 raised"
    assert len(lines) == 8
    shortened = describe(study_status(study), most=1).splitlines()
    assert shortened[2] == "  failed       and 1 more"


NAME = "FashionMNIST-clustered-s0-0123456789"
REASON = "client 2 failed: ValueError: [red]labels[/red] must be 0 to 9, got 17 at /a/path/of/some/length/file.py " * 2


def many(*states: str) -> list[RunStatus]:
    return [RunStatus(f"{NAME}{number}", state, REASON.strip()) for number, state in enumerate(states)]


def test_pipes_get_a_line_a_run_whatever_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert describe(many("failed", "done")).splitlines() == [
        "2 runs: 1 done, 1 failed",
        f"  failed       {NAME}0  {REASON.strip()}",
        f"  done         {NAME}1  {REASON.strip()}",
    ]


@pytest.mark.parametrize("width", [200, 80, 74, 60, 40, 30])
def test_terminals_of_any_width_show_everything(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    runs = many("failed", "done")
    shown = terminal(monkeypatch, width)
    with mock.patch("fedlayers.commands.status.study_status", return_value=runs):
        assert main(["somewhere"]) == 0
    lines = shown.lines()[1:]
    assert all(len(text) <= width for text in lines)
    assert all(any(one.run in text for text in lines) for one in runs) == (width >= len(runs[0].run) + 37)
    together = sorted("".join(lines).replace(" ", ""))
    assert together == sorted("".join(one.state + one.run + one.detail for one in runs).replace(" ", ""))
    assert "\x1b[31mfailed" in shown.getvalue() and "\x1b[32mdone" in shown.getvalue()


def test_watching_redraws_in_a_terminal_and_ends_whole_in_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    answers = [many("running"), many("done")]
    with mock.patch("fedlayers.commands.status.study_status", side_effect=[*answers, *answers]):
        assert main(["somewhere", "--watch", "0.1"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"  done         {NAME}0  {REASON.strip()}"
        shown = terminal(monkeypatch, 120)
        assert main(["somewhere", "--watch", "0.1"]) == 0
    assert "1 running" in shown.getvalue() and "1 done" in shown.getvalue()


def test_damaged_facts_are_told(study: Path) -> None:
    (study / "done" / "run.json").write_text("[]")
    found = {one.run: one for one in study_status(study)}
    assert found["done"].state == "failed"
    assert "must hold an object" in found["done"].detail


def test_a_part_that_is_just_being_replaced_is_left_out(study: Path) -> None:
    (study / "running" / "resources" / "round=000003.parquet").write_bytes(b"")
    found = {one.run: one.detail for one in study_status(study)}
    assert found["running"].startswith("round 3 of 9, 51.0 s/round")


def test_watching_ends_when_nothing_is_under_way(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "running" / "run.lock").unlink()
    assert main([str(study), "--watch", "0.1"]) == 0
    assert "7 runs: 1 done" in capsys.readouterr().out


def test_ctrl_c_ends_watching(study: Path) -> None:
    with mock.patch("time.sleep", side_effect=KeyboardInterrupt):
        assert main([str(study), "--watch"]) == 0


def test_what_is_no_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere: give a study folder"):
        study_status(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no runs and no expected\.json"):
        study_status(tmp_path)
    assert main([str(tmp_path)]) == 1
    assert "holds no runs" in capsys.readouterr().err


def states(study: Path) -> dict[str, str]:
    return {one.run: one.state for one in study_status(study)}


def test_runs_wait_as_long_as_the_process_lives_that_starts_them(study: Path) -> None:
    with sweeping({study: {"later": ["seed=1"], "killed": [], "refused": [], "new": []}}):
        found = {one.run: (one.state, one.detail) for one in study_status(study)}
        here = f"to be started by {socket.gethostname()}, process {os.getpid()}"
        assert found["later"] == found["new"] == ("waiting", here)
        assert found["killed"] == ("waiting", f"round 4 of 9, {here}")
        assert found["refused"][0] == "failed" and found["done"][0] == "done"
        (card,) = (study / ".sweeps").iterdir()
    assert states(study)["later"] == states(study)["new"] == "missing"
    assert not (study / ".sweeps").exists()
    # A sweep that was killed leaves its card, until the next one comes.
    card.mkdir(parents=True)
    (card / "runs.json").write_text('["later"]')
    (study / ".sweeps" / "notes").mkdir()
    assert states(study)["later"] == "missing"
    with sweeping({study: {}}):
        assert not card.exists() and (study / ".sweeps" / "notes").is_dir()
        (next((study / ".sweeps").glob("*/runs.json"))).write_text("{")
        assert states(study)["later"] == "missing"


def test_watching_waits_for_a_living_sweep_only(study: Path) -> None:
    (study / "running" / "run.lock").unlink()
    looks: list[float] = []
    with sweeping({study: {"later": []}}):
        with mock.patch("time.sleep", side_effect=[None, KeyboardInterrupt]) as slept:
            assert main([str(study), "--watch"]) == 0
        looks.append(slept.call_count)
        with mock.patch("fedlayers.commands.status.output_is_gone", return_value=True):
            assert main([str(study), "--watch"]) == 0
    assert looks == [2]


def test_the_number_of_a_job_is_that_of_the_queue(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("JOB", "1209"), ("ARRAY_JOB", "1207"), ("ARRAY_TASK", "2")):
        monkeypatch.setenv(f"SLURM_{name}_ID", value)
    with lock(study / "killed"):
        detail = {one.run: one.detail for one in study_status(study)}["killed"]
    assert detail.endswith(f"process {os.getpid()}, job 1207_2")


def test_what_a_changed_sweep_left_is_forgotten(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remember(study / "later", "77_1")
    assert main([str(study), "--forget"]) == 0
    assert capsys.readouterr().out.splitlines() == ["forgotten: refused", "forgotten: later"]
    assert set(expected_runs(study)) == set(states(study)) == {"done", "running", "killed", "stopped", "failed"}
    assert remembered(study / "later") is None
    assert main([str(study), "--forget"]) == 0
    assert capsys.readouterr().out == "nothing to forget: no run is missing, and none has failed without a folder\n"


def test_named_runs_are_forgotten_and_their_folders_kept_aside(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study), "--forget", "kill*", "failed"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [f"forgotten: {run} (its folder is in {study / '.old'})" for run in ("killed", "failed")]
    assert json.loads((study / ".old" / "killed.0" / "run.json").read_text())["round"] == 4
    assert not (study / ".old" / "killed.0" / "run.lock").exists()
    assert "killed" not in states(study) and "later" in states(study)
    for words, message in (
        (["nothing*"], f"--forget must name runs of {study}, got nothing*: see python -m fedlayers.status {study}"),
        (["runn*"], "--forget must name runs that are not under way, but running is running: stop it first"),
    ):
        assert main([str(study), "--forget", *words]) == 1
        assert capsys.readouterr().err.strip() == message
    with (
        mock.patch("fedlayers.studies.forgetting.lock", side_effect=LockedError("far, process 3")),
        pytest.raises(UserError, match=r"stopped is being written \(far, process 3\): stop that run first"),
    ):
        forget(study, ["stopped"], {"stopped": "interrupted"})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: (run / "run.json").write_text(""), "run.json cannot be read"),
        (lambda run: (run / "run.json").write_bytes(b"\xff\xfe\x00"), "run.json cannot be read"),
        (lambda run: (run / "run.json").write_text('{"round": 3, "rou'), "run.json cannot be read"),
        (
            lambda run: (run / "run.json").write_text('{"round": "3"}'),
            "has round of another kind than fedlayers writes",
        ),
        (lambda run: ((run / "run.json").unlink(), (run / "run.json").mkdir()), "run.json cannot be read"),
        (lambda run: (run / "run.lock").mkdir(), "run.lock must be a file"),
    ],
)
def test_a_damaged_run_is_told_and_the_others_are_shown(
    study: Path, damage: Callable[[Path], object], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = states(study)
    damage(study / "killed")
    (study / "notes.txt").write_text("mine")
    (study / "analysis").mkdir()
    (study / "analysis" / "config.yaml").write_text("mine: 1")
    (study / ".failed" / "refused").write_bytes(b"")
    found = {one.run: one for one in study_status(study)}
    assert found["killed"].state == "failed" and told in found["killed"].detail
    assert found["refused"].detail == "no reason given; see log.txt"
    assert {run: one.state for run, one in found.items() if run != "killed"} == {
        run: state for run, state in before.items() if run != "killed"
    }
    assert main([str(study)]) == 0
    assert "7 runs" in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"", b"{", b"\xff"])
def test_a_damaged_lock_is_no_running_run_for_ever(study: Path, data: bytes) -> None:
    path = study / "killed" / "run.lock"
    path.write_bytes(data)
    os.utime(path, (0, 0))
    assert states(study)["killed"] == "interrupted"
