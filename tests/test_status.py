"""What ``python -m fedlayers.status`` tells of a study, read from its folder."""

import json
import os
import time
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedlayers import status
from fedlayers.errors import UserError
from fedlayers.launching.job import remember
from fedlayers.plan import note_failure, write_plan
from fedlayers.status import describe, main, study_status
from tests.test_lock import write_lock


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study with a run in every state."""
    study = tmp_path / "s"
    write_plan(study, {key: [] for key in ["done", "running", "killed", "stopped", "failed", "refused", "later"]})
    write_facts(study / "done", status="complete", round=9, rounds=9, wall_s=75.0)
    (study / "done" / "done.json").write_text("{}")
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


def write_round(run: Path, server_round: int, seconds: float) -> None:
    (run / "resources").mkdir(exist_ok=True)
    columns = {"metric": ["round_s", "train_s"], "moment": ["after_aggregate"] * 2, "value": [seconds, 99.0]}
    pq.write_table(pa.table(columns), run / "resources" / f"round={server_round:06d}.parquet")


def test_every_run_is_in_one_state_and_trouble_comes_first(study: Path) -> None:
    with mock.patch.object(status, "_RECENT", 2):
        found = {one.run: (one.state, one.detail) for one in study_status(study)}
    assert found == {
        "failed": ("failed", "client 3 raised"),
        "refused": ("failed", "algorithm.mu must be 0 or more, got -1.0"),
        "killed": ("interrupted", "round 4 of 9, its process was killed"),
        "stopped": ("interrupted", "round 0 of 9, Ctrl-C"),
        "later": ("waiting", "not started"),
        "running": ("running", "round 3 of 9, 3.0 s/round, about 18 s left, far, process 7, job 12"),
        "done": ("done", "9 rounds in 1 min 15 s"),
    }
    assert [one.state for one in study_status(study)] == sorted(
        [one.state for one in study_status(study)], key=status.STATES.index
    )


def test_a_run_whose_job_is_in_the_queue_waits(study: Path) -> None:
    remember(study / "killed", "40_1")
    remember(study / "later", "40_2")
    remember(study / "done", "39")
    answer = {"40_1": "PENDING", "40_2": "RUNNING"}
    with mock.patch("fedlayers.launching.slurm.queued", return_value=answer):
        found = {one.run: (one.state, one.detail) for one in study_status(study)}
    assert found["killed"] == ("waiting", "round 4 of 9, job 40_1 pending")
    assert found["later"] == ("waiting", "job 40_2 running")
    assert found["done"][0] == "done"


def test_a_lock_without_a_heartbeat_is_no_running_run(study: Path) -> None:
    long_ago = time.time() - 1000
    os.utime(study / "running" / "run.lock", (long_ago, long_ago))
    found = {one.run: one.state for one in study_status(study)}
    assert found["running"] == "interrupted"


def test_the_text_counts_and_lists(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "7 runs: 1 done, 1 running, 1 waiting, 2 interrupted, 2 failed"
    assert lines[1] == "  failed       failed   client 3 raised"
    assert len(lines) == 8
    shortened = describe(study_status(study), most=1).splitlines()
    assert shortened[2] == "  failed       and 1 more"


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
    for run in ("running", "later"):
        note_failure(study / run, "gone")
    assert main([str(study), "--watch", "0.1"]) == 0
    assert "7 runs: 1 done" in capsys.readouterr().out


def test_ctrl_c_ends_watching(study: Path) -> None:
    with mock.patch("time.sleep", side_effect=KeyboardInterrupt):
        assert main([str(study), "--watch"]) == 0


def test_what_is_no_study_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"there is no folder .*nowhere: give a study folder"):
        study_status(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no runs and no plan\.json"):
        study_status(tmp_path)
    assert main([str(tmp_path)]) == 1
    assert "holds no runs" in capsys.readouterr().err
