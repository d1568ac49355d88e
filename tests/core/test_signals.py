"""A signal means one thing wherever it comes: stop at the last complete round; a second Ctrl-C does not wait."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedlayers.core.errors import Stopped
from fedlayers.core.machine import signals
from fedlayers.core.machine.signals import interruptible, signals_answered, stop_on_signals, stop_reason
from fedlayers.execution.starting_point import starting_point
from fedlayers.runs.lock import Held, lock
from fedlayers.studies.launching import process


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that every handler is put back."""
    monkeypatch.delenv("SUBMITIT_EXECUTOR", raising=False)
    # Whoever starts the tests by nohup has them ignore it.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in (*signals.STOPPING, signal.SIGUSR2)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before
    signal.signal(signal.SIGHUP, inherited)
    signals._State.received = None


def send(number: int) -> None:
    """Send this process a signal and give the handler its turn."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("number", signals.STOPPING)
def test_outside_rounds_any_of_them_is_ctrl_c(number: int) -> None:
    with pytest.raises(KeyboardInterrupt), signals_answered():
        send(number)
    assert signals.last_signal() == number


@pytest.mark.parametrize("number", signals.STOPPING)
def test_while_rounds_run_it_is_a_flag_and_what_comes_again_is_the_same_wish(number: int) -> None:
    stop = threading.Event()
    seen: list[Any] = []
    with pytest.raises(Stopped, match=r"^$"), signals_answered(), stop_on_signals(stop):
        send(number)
        seen.append(stop.is_set())
        send(signal.SIGTERM)
        send(signal.SIGHUP)
        seen.append("still here")
    assert seen == [True, "still here"]
    assert signals.last_signal() == number


def test_work_that_takes_long_ends_at_once() -> None:
    with pytest.raises(Stopped, match=r"^$"), stop_on_signals(threading.Event()), interruptible():
        send(signal.SIGHUP)
        pytest.fail("went on")
    assert stop_reason() == "SIGHUP: its terminal was closed"


def test_a_second_ctrl_c_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()
    monkeypatch.setattr(signals, "_CLEANING_S", 0.05)
    monkeypatch.setattr("os._exit", lambda code: left.set() if code == 130 else None)
    with pytest.raises(KeyboardInterrupt), stop_on_signals(threading.Event()):
        send(signal.SIGTERM)
        send(signal.SIGINT)
        pytest.fail("waited")
    assert left.wait(10)


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_answered():
            send(signal.SIGHUP)
        assert signals.last_signal() is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_a_job_of_slurm_only_the_end_of_its_time_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with pytest.raises(Stopped, match=r"^$"), signals_answered(), stop_on_signals(threading.Event()):
            send(signal.SIGTERM)
            send(signal.SIGUSR2)
        assert received == [signal.SIGTERM]
        assert stop_reason() == "the end of the job's time, or pre-emption"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_other_threads_are_left_alone() -> None:
    stop = threading.Event()
    seen: list[Any] = []

    def work() -> None:
        with signals_answered(), stop_on_signals(stop):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_rounds_stop_for_other_reasons_too_and_do_not_begin_if_one_came_before_them() -> None:
    stop = threading.Event()
    with pytest.raises(Stopped, match=r"^$"), stop_on_signals(stop):
        stop.set()
    with pytest.raises(Stopped, match=r"^$"), stop_on_signals(stop):
        pytest.fail("began")


@pytest.mark.parametrize("where", ["fedlayers.figures.draw.draw_main", "fedlayers.execution.execute._run_rounds"])
def test_a_signal_outside_the_rounds_leaves_no_lock_and_the_run_continues(
    quick_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(where, lambda *_: send(signal.SIGTERM))
        with pytest.raises(KeyboardInterrupt):
            quick_run("figures=true", "rounds=1", folder=tmp_path)
    (run,) = tmp_path.glob("main/digits*")
    facts = json.loads((run / "run.json").read_text())
    assert (facts["status"], facts["reason"]) == ("stopped", "SIGTERM")
    assert not (run / "run.lock").exists() and not (run / "done.json").exists()
    quick_run("rounds=1", folder=tmp_path)
    assert (run / "done.json").exists()


def test_a_signal_while_the_report_is_written_leaves_a_complete_run(
    quick_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedlayers.figures.draw.draw_main", lambda folder: None)
    monkeypatch.setattr("fedlayers.report.page.write_report", lambda folder, answers: send(signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        quick_run("figures=true", "rounds=1", folder=tmp_path)
    (run,) = tmp_path.glob("main/digits*")
    assert json.loads((run / "run.json").read_text())["status"] == "complete"
    assert not (run / "run.lock").exists()


@pytest.mark.parametrize(
    "where",
    [
        "fedlayers.execution.execute.starting_point",
        "fedlayers.execution.rounds.RoundLoop.run",
        "fedlayers.figures.draw.draw_main",
    ],
)
def test_a_run_that_was_taken_over_stops_and_leaves_the_others_word(
    quick_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    ours: list[Held] = []

    @contextmanager
    def noted(folder: Path, on_loss: Callable[[], None]) -> Iterator[Held]:
        with lock(folder, on_loss=on_loss) as held:
            ours.append(held)
            yield held

    def taken_over(*arguments: Any) -> object:
        (run,) = tmp_path.glob("main/digits*")
        (run / "run.json").write_text('{"status": "running", "by": "far"}')
        # In one step, as whoever takes a run over writes it: an empty card is nobody's.
        (run / "card").write_text(json.dumps({"host": "far", "pid": 1}))
        (run / "card").replace(run / "run.lock")
        deadline = time.monotonic() + 60
        while not ours[0].lost and time.monotonic() < deadline:
            time.sleep(0.01)
        return starting_point(*arguments) if where.endswith("starting_point") else None

    monkeypatch.setattr("fedlayers.runs.lock_card.HEARTBEAT_S", 0.02)
    monkeypatch.setattr("fedlayers.execution.execute.lock", noted)
    monkeypatch.setattr(where, taken_over)
    run = quick_run("rounds=1", "figures=true", folder=tmp_path)
    assert "already running there (another process has taken the run over" in capsys.readouterr().out
    assert json.loads((run / "run.json").read_text()) == {"status": "running", "by": "far"}
    assert "far" in (run / "run.lock").read_text() and not (run / "done.json").exists()


def test_a_process_of_a_sweep_stops_when_the_sweep_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = os.pipe()
    before = os.dup(0)
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append(number))
    try:
        os.dup2(ends[0], 0)
        thread = threading.Thread(target=process._end_with_parent)
        thread.start()
        thread.join(0.1)
        assert thread.is_alive() and sent == []
        os.close(ends[1])
        thread.join(10)
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(ends[0])
    assert sent == [signal.SIGTERM]
