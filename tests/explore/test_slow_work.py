"""Slow work: in processes of its own, once for all who ask, with an end that can be asked for."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fedlayers.core.errors import UserError
from fedlayers.explore.mistakes.statuses import NotThere
from fedlayers.explore.slow.jobs import ENDED, SlowJob, SlowJobs
from fedlayers.explore.slow.kept import Kept, digest_of, key_of
from fedlayers.explore.slow.made_of import made_of
from fedlayers.explore.slow.worker import Asked, Cancelled, Progress, SlowWorker
from tests.support.fake_run import write_run

HERE = "tests.explore.test_slow_work"


def counted(run: Path, settings: Mapping[str, Any], progress: Progress) -> Mapping[str, pa.Table]:
    progress(0.5, "counting")
    with (run / "calls").open("a") as file:
        file.write("x")
    return {"records": pa.table({"n": list(range(settings["n"]))}), "rest": pa.table({"m": [1]})}


def endless(run: Path, settings: Mapping[str, Any], progress: Progress) -> Mapping[str, pa.Table]:
    progress(None, "waiting")
    (run / "begun").touch()
    time.sleep(600)
    return {}


def refusing(run: Path, settings: Mapping[str, Any], progress: Progress) -> Mapping[str, pa.Table]:
    raise UserError("rounds must be fewer")


def failing(run: Path, settings: Mapping[str, Any], progress: Progress) -> Mapping[str, pa.Table]:
    raise ZeroDivisionError("by nothing")


def dying(run: Path, settings: Mapping[str, Any], progress: Progress) -> Mapping[str, pa.Table]:
    os._exit(1)


@pytest.fixture(scope="module")
def worker() -> SlowWorker:
    return SlowWorker()


def ended(jobs: SlowJobs, job: SlowJob) -> SlowJob:
    while job.state not in ENDED:
        time.sleep(0.01)
    return job


def test_work_is_done_once_for_all_who_ask(tmp_path: Path) -> None:
    jobs = SlowJobs(Kept(tmp_path / "kept"), workers=1)
    asked = Asked(f"{HERE}:counted", tmp_path, {"n": 3})
    job = jobs.ask(asked, {}, "records")
    assert isinstance(job, SlowJob) and jobs.ask(asked, {}, "rest") in (job, pa.table({"m": [1]}))
    assert ended(jobs, job).state == "done" and job.share == 0.5 and job.message == "counting"
    assert jobs.ask(asked, {}, "records") == pa.table({"n": [0, 1, 2]})
    again = SlowJobs(Kept(tmp_path / "kept")).ask(asked, {}, "rest")
    assert again == pa.table({"m": [1]}) and (tmp_path / "calls").read_text() == "x"
    other = jobs.ask(asked, {"config.yaml": "changed"}, "records")
    assert (
        isinstance(other, SlowJob) and ended(jobs, other).state == "done" and (tmp_path / "calls").read_text() == "xx"
    )


def test_work_is_cancelled_while_it_runs_and_while_it_waits(tmp_path: Path) -> None:
    jobs = SlowJobs(Kept(tmp_path / "kept"), workers=1)
    running = jobs.ask(Asked(f"{HERE}:endless", tmp_path, {}), {}, "records")
    waiting = jobs.ask(Asked(f"{HERE}:counted", tmp_path, {"n": 1}), {}, "records")
    assert isinstance(running, SlowJob) and isinstance(waiting, SlowJob)
    while not (tmp_path / "begun").exists():
        time.sleep(0.01)
    assert jobs.cancel(waiting.key).state == "cancelled"
    jobs.cancel(running.key)
    assert ended(jobs, running).state == "cancelled"
    afresh = jobs.ask(Asked(f"{HERE}:counted", tmp_path, {"n": 1}), {}, "records")
    assert isinstance(afresh, SlowJob) and ended(jobs, afresh).state == "done"
    with pytest.raises(NotThere, match="there is no job 'nix': ask again"):
        jobs.job("nix")


@pytest.mark.parametrize(("work", "sentence"), [
    ("refusing", "rounds must be fewer"),
    ("failing", r"failing of run .* failed \(ZeroDivisionError: by nothing\)"),
])  # fmt: skip
def test_what_cannot_be_done_is_a_sentence(worker: SlowWorker, tmp_path: Path, work: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        worker.carry_out(Asked(f"{HERE}:{work}", tmp_path, {}), lambda *_: None, threading.Event())
    assert worker.lives


def test_a_process_that_dies_takes_nothing_with_it(tmp_path: Path) -> None:
    worker = SlowWorker()
    with pytest.raises(UserError, match="the process that computed this has ended"):
        worker.carry_out(Asked(f"{HERE}:dying", tmp_path, {}), lambda *_: None, threading.Event())
    assert not worker.lives


def test_a_worker_is_ended_at_once(tmp_path: Path) -> None:
    worker, cancel = SlowWorker(), threading.Event()
    threading.Timer(0.1, cancel.set).start()
    with pytest.raises(Cancelled):
        worker.carry_out(Asked(f"{HERE}:endless", tmp_path, {}), lambda *_: None, cancel)
    assert not worker.lives


def test_what_the_disk_does_not_take_is_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlayers.explore.slow.jobs._HELD", 1)
    (tmp_path / "kept").touch()  # no folder
    jobs = SlowJobs(Kept(tmp_path / "kept"), workers=1)
    asked = [Asked(f"{HERE}:counted", tmp_path, {"n": n}) for n in (3, 4)]
    for one in asked:
        job = jobs.ask(one, {}, "records")
        assert isinstance(job, SlowJob) and ended(jobs, job).state == "done"
        assert jobs.ask(one, {}, "records") == pa.table({"n": list(range(one.settings["n"]))})
    assert isinstance(jobs.ask(asked[0], {}, "records"), SlowJob)  # what was asked for longer ago is worked out anew


def test_what_is_kept_is_found_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, table = Kept(tmp_path / "kept"), pa.table({"x": [1]})
    kept.keep("a", {"records": table})
    monkeypatch.setattr(os, "utime", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert kept.find("a", "records") == table and kept.holds("a") and not kept.holds("b")


def test_work_is_made_of_the_runs_beside_it_that_are_whole_and_lie_in_the_study(tmp_path: Path) -> None:
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    run, alone = write_run(study, seed=0), write_run(study, seed=1, algorithm="local")
    damaged = write_run(study, seed=2, algorithm="local")
    (damaged / "run.json").write_text("{")
    write_run(study, seed=3)
    (study / "linked").symlink_to(write_run(elsewhere, seed=4, algorithm="local"))
    assert set(made_of(run)) == {"config.yaml", alone.name}
    (alone / "snapshots").symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"snapshots of run .*-local-.* is a symbolic link to a place outside"):
        made_of(run)


def test_results_are_kept_by_content_and_the_oldest_go(tmp_path: Path) -> None:
    assert key_of("a", {"n": 1}, {"f": "1"}) == key_of("a", {"n": 1}, {"f": "1"})
    keys = {
        key_of("a", {"n": 1}, {}),
        key_of("b", {"n": 1}, {}),
        key_of("a", {"n": 2}, {}),
        key_of("a", {"n": 1}, {"f": "2"}),
    }
    assert len(keys) == 4
    table = pa.table({"x": list(range(1000))})
    kept = Kept(tmp_path / "kept", limit=2 * table.nbytes + 4000)
    for place, key in enumerate("abc"):
        kept.keep(key, {"records": table})
        os.utime(tmp_path / "kept" / f"{key}-records.arrow", (place, place))
    kept.keep("d", {"records": table})
    assert kept.find("a", "records") is None and kept.find("d", "records") == table
    (tmp_path / "kept" / "d-records.arrow").write_bytes(b"torn")
    assert kept.find("d", "records") is None


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    first = digest_of(file)
    file.write_text("other")
    assert digest_of(file) != first


def test_a_service_that_is_interrupted_at_work_ends_without_a_word(
    quick_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = shutil.copytree(quick_run("rounds=1", "snapshots.rounds=[all]", "engine=local"), tmp_path / "run")
    command = [sys.executable, "-m", "fedlayers.explore", str(run)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, start_new_session=True, **output) as service:  # type: ignore[call-overload]
        assert service.stdout is not None
        said = service.stdout.readline()
        address = re.search(r"http://[\d.:]+/", said)
        assert address, said

        def ask() -> None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address[0]}api/runs/run/shifts?wait=4").read()

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(1)
        os.killpg(service.pid, signal.SIGINT)  # as Ctrl-C does
        rest = service.stdout.read()
        asking.join()
    assert service.returncode == 130 and rest.strip() == "stopped"
