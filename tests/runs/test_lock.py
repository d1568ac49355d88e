"""``run.lock`` keeps two processes apart, and a dead one out of the way."""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import fedlayers.runs.lock
import fedlayers.runs.lock_card
from fedlayers.core.errors import UserError
from fedlayers.runs.lock import LockedError, holder_of, lock
from fedlayers.runs.lock_card import STALE_S, Card, LockedFolder, look

HOLD = """
import os, sys
from pathlib import Path
from fedlayers.runs.lock import lock
with lock(Path(sys.argv[1])):
    child = os.fork() if "fork" in sys.argv else None
    if child == 0:
        sys.stdin.read()  # outlives its parent
        os._exit(0)
    print("held", flush=True)
    sys.stdin.read()
"""
# Several processes find the same stale lock; each writes what it sees while it holds the lock.
CONTEND = """
import sys, time
from pathlib import Path
from fedlayers.runs.lock import LockedError, lock
folder = Path(sys.argv[1])
while not (folder / "go").exists():
    time.sleep(0.001)
try:
    with lock(folder):
        (folder / "inside").touch(exist_ok=False)
        time.sleep(3)
        (folder / "inside").unlink()
    print("held")
except LockedError:
    print("refused")
"""


@contextmanager
def holder(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run another process that holds the lock."""
    command = [*words, sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def write_lock(folder: Path, age_s: float = 0.0, **changes: Any) -> Path:
    """Write the lock of a process of this machine that is gone, or with other values that of another machine."""
    path = folder / "run.lock"
    content = {"host": socket.gethostname(), "pid": 1, "job": None, **mine(folder)}
    # In one step, as it is taken over: a heartbeat would take an empty one away.
    scratch = folder / "card"
    scratch.write_text(json.dumps({**content, **changes}))
    os.utime(scratch, (time.time() - age_s,) * 2)
    return scratch.replace(path)


def mine(folder: Path) -> dict[str, Any]:
    return {"kernel": fedlayers.runs.lock._kernel(), "device": folder.stat().st_dev}


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.lock").read_text())
    return found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch other machines for a second instead of for minutes."""
    monkeypatch.setattr(fedlayers.runs.lock_card, "POLL_S", 0.01)
    monkeypatch.setattr(fedlayers.runs.lock_card, "HEARTBEAT_S", 0.1)


def test_a_live_holder_is_named_and_a_killed_one_is_taken_over(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        named = rf"{re.escape(socket.gethostname())}, process {process.pid}$"
        with pytest.raises(LockedError, match=named), lock(tmp_path):
            pass
        assert re.search(named, str(holder_of(tmp_path)))
        process.kill()
        process.wait()
        assert holder_of(tmp_path) is None
        with lock(tmp_path):
            assert content(tmp_path)["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [{"host": "renamed"}, {"pid": 2**22 - 1}, {"kernel": "other"}, {}],
    ids=["another host name", "another process number", "another boot", "damaged"],
)
def test_a_live_holder_of_this_machine_is_respected_whatever_its_card_says(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with lock(tmp_path):
        text = json.dumps({**content(tmp_path), **changes}) if changes else ""
        (tmp_path / "run.lock").write_text(text)
        os.utime(tmp_path / "run.lock", (0, 0))
        with pytest.raises(LockedError), lock(tmp_path):
            pass
        assert holder_of(tmp_path) is not None
    # It is not known any more whose it is.
    assert (tmp_path / "run.lock").read_text() == text


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root and unshare")
def test_a_container_of_this_machine_is_respected(tmp_path: Path) -> None:
    """Process number 1 of another namespace with our host's name, and a second start on either side."""
    with holder(tmp_path, "unshare", "-pf", "--mount-proc"):
        assert content(tmp_path)["pid"] == 1
        with pytest.raises(LockedError, match=r"process 1$"), lock(tmp_path):
            pass


def test_a_forked_child_keeps_no_lock_of_its_dead_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path), "fork"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        with lock(tmp_path):
            assert content(tmp_path)["pid"] == os.getpid()


@pytest.mark.parametrize("age_s", [0.0, 10000.0])
def test_a_lock_left_by_a_process_of_this_machine_is_taken_over_at_once(tmp_path: Path, age_s: float) -> None:
    said: list[str] = []
    write_lock(tmp_path, age_s)
    assert holder_of(tmp_path) is None
    with lock(tmp_path, said.append):
        assert content(tmp_path)["pid"] == os.getpid()
    assert said == []


@pytest.mark.slow
def test_of_several_that_find_a_stale_lock_one_wins(tmp_path: Path) -> None:
    write_lock(tmp_path)
    command = [sys.executable, "-c", CONTEND, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    time.sleep(1.0)
    (tmp_path / "go").touch()
    found = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in found] == [""] * 4
    assert sorted(said for said, _ in found) == ["held\n", *["refused\n"] * 3]


@pytest.mark.usefixtures("quick")
def test_a_lock_taken_over_meanwhile_is_not_taken_away(tmp_path: Path) -> None:
    write_lock(tmp_path, STALE_S + 20, host="far", kernel="far")
    original = fedlayers.runs.lock_card.lives
    calls: list[bool] = []

    def slow(place: LockedFolder, found: Card, say: Any) -> bool:
        """Between our look at the stale lock and its removal another machine takes it over, whose heart beats."""
        alive = original(place, found, say) if not calls else True
        if not calls:
            write_lock(tmp_path, job="4711", kernel="far")
        calls.append(alive)
        return alive

    patched = mock.patch.object(fedlayers.runs.lock_card, "lives", slow)
    with patched, pytest.raises(LockedError, match="job 4711"), lock(tmp_path):
        pass
    assert calls == [False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("age_s", [30, 10000], ids=["beats", "clock of the file system was set"])
def test_a_holder_on_another_machine_lives_if_its_heart_beats_while_we_watch(tmp_path: Path, age_s: float) -> None:
    said: list[str] = []
    path = write_lock(tmp_path, age_s=age_s, host="far", kernel="far", job="99")
    beat = threading.Timer(0.1, os.utime, [path])
    beat.start()
    with pytest.raises(LockedError, match="far, process 1, job 99"), lock(tmp_path, said.append):
        pass
    beat.join()
    assert len(said) == 1
    assert f"for a sign of life of far, process 1, job 99, whose run.lock is in {tmp_path}" in said[0]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("age_s", [STALE_S - 0.2, STALE_S + 20])
def test_a_holder_on_another_machine_without_a_heart_beat_is_taken_over(tmp_path: Path, age_s: float) -> None:
    write_lock(tmp_path, age_s, host="far", kernel="far")
    began = time.monotonic()
    with lock(tmp_path, lambda text: None):
        assert content(tmp_path)["host"] == socket.gethostname()
    assert time.monotonic() - began > 0.2  # more than two heartbeats


@pytest.mark.usefixtures("quick")
def test_clocks_of_machines_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    path = write_lock(tmp_path, host="far", kernel="far")
    monkeypatch.setattr("time.time", lambda: path.stat().st_mtime + 10000)
    beat = threading.Timer(0.1, os.utime, [path])
    beat.start()
    with pytest.raises(LockedError, match="far"), lock(tmp_path, said.append):
        pass
    assert said[0].startswith("waiting up to 120 s")
    beat.join()


@pytest.mark.usefixtures("quick")
def test_without_locks_of_the_operating_system_the_heart_beat_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", mock.Mock(side_effect=OSError(errno.ENOTSUP, "not supported")))
    with lock(tmp_path), pytest.raises(LockedError, match=f"process {os.getpid()}"), lock(tmp_path, lambda text: None):
        pass
    write_lock(tmp_path)
    beat = threading.Timer(0.1, os.utime, [tmp_path / "run.lock"])
    beat.start()
    with pytest.raises(LockedError, match="process 1"), lock(tmp_path, lambda text: None):
        pass
    beat.join()


def test_without_hard_links_the_lock_is_made_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.link", mock.Mock(side_effect=OSError(errno.EPERM, "no hard links")))
    with lock(tmp_path):
        assert content(tmp_path)["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("os.link", mock.Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(UserError, match=r"cannot write .*the disk is full"), lock(tmp_path):
        pass


def test_a_job_that_was_queued_again_takes_its_own_lock_over_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "99")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.setattr(fedlayers.runs.lock_card, "lives", lambda *_: True)
    write_lock(tmp_path, host="far", kernel="far", job="99", restart=1)
    with lock(tmp_path):
        assert content(tmp_path)["restart"] == 2
    for job, restart in (("98", 0), ("99", 2), ("99", "?")):
        write_lock(tmp_path, host="far", kernel="far", job=job, restart=restart)
        with pytest.raises(LockedError, match=f"job {job}"), lock(tmp_path):
            pass


def test_the_heart_beats_while_the_lock_is_held_also_if_somebody_deletes_or_empties_it(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    with mock.patch.object(fedlayers.runs.lock_card, "HEARTBEAT_S", 0.02), lock(tmp_path):
        os.utime(path, (0, 0))
        wait_until(lambda: path.stat().st_mtime > time.time() - 60)
        path.unlink()
        wait_until(path.exists)
        assert content(tmp_path)["pid"] == os.getpid()
        path.write_bytes(b"")
        wait_until(lambda: path.exists() and path.read_bytes())
        assert content(tmp_path)["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_who_was_taken_over_is_told_and_leaves_the_other_ones_lock(tmp_path: Path) -> None:
    told = threading.Event()
    with mock.patch.object(fedlayers.runs.lock_card, "HEARTBEAT_S", 0.02), lock(tmp_path, on_loss=told.set) as held:
        held.check()
        write_lock(tmp_path, host="far", kernel="far")
        assert told.wait(60) and held.lost
        with pytest.raises(LockedError, match="another process has taken the run over, which saw no sign of life"):
            held.check()
    assert content(tmp_path)["host"] == "far"


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_lock_is_released_after_an_exception_and_in_a_folder_that_was_renamed(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(ArithmeticError), lock(folder):
        folder.rename(tmp_path / "b")
        raise ArithmeticError
    assert list((tmp_path / "b").iterdir()) == []
    with lock(tmp_path), pytest.raises(LockedError, match=f"process {os.getpid()}"), lock(tmp_path):
        pass


def test_the_job_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1234")
    with lock(tmp_path), pytest.raises(LockedError, match="job 1234"), lock(tmp_path):
        pass


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("data", [b"", b'{"host": "nod', b"\xff\xfe\x00", b"[]", b"{}", b'{"host": 3, "pid": "x"}'])
def test_a_damaged_lock_is_somebodys_while_it_is_touched_and_then_nobodys(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "run.lock"
    path.write_bytes(data)
    assert str(holder_of(tmp_path)) == "a process that left no readable run.lock"
    os.utime(path, (0, 0))
    assert holder_of(tmp_path) is None
    said: list[str] = []
    with lock(tmp_path, said.append):
        assert content(tmp_path)["pid"] == os.getpid()
    assert "for a sign of life of a process that left no readable run.lock" in said[0]


@pytest.mark.parametrize("make", ["mkdir", "link", "fifo"])
def test_what_is_no_file_is_left_alone_and_named(tmp_path: Path, make: str) -> None:
    path = tmp_path / "run.lock"
    if make == "link":
        path.symlink_to("nowhere")
    elif make == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    message = rf"{re.escape(str(path))} must be a file, which fedlayers makes and removes itself: move away"
    with pytest.raises(UserError, match=message):
        holder_of(tmp_path)
    with pytest.raises(UserError, match=message), lock(tmp_path):
        pass
    assert path.is_symlink() or path.exists()


def test_a_lock_that_cannot_be_read_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr("os.open", mock.Mock(side_effect=OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"):
        look(LockedFolder(tmp_path, folder))
    monkeypatch.undo()
    os.close(folder)
    assert holder_of(tmp_path / "nowhere") is None
