"""Ctrl-C, SIGTERM and SIGHUP mean one thing everywhere: stop at the last complete round.

While rounds run, a signal sets a flag that the run looks at; anywhere else (building, figures, gathering a study) it is
KeyboardInterrupt at once, so that locks and displays are taken away. A second Ctrl-C does not wait for anything.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fedlayers.core.errors import Stopped, UserError


class _Interrupt(BaseException):
    """Ends a client's work in this process at once; not an Exception, so that no metric can swallow it."""


class _State:
    answered = False
    interruptible = False
    received: int | None = None
    # What rounds look at while they run.
    stop: threading.Event | None = None
    # What submitit does when the job's time ends or it is pre-empted.
    submitit: Any = None


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# By this signal SLURM announces a job's end; submitit catches it, saves the job and queues it again.
_JOB_ENDS = signal.SIGUSR2
# What a second Ctrl-C leaves to whoever cleans up.
_CLEANING_S = 5.0


def last_signal() -> int | None:
    """Return the number of the signal that stopped the run, or None."""
    return _State.received


def stop_reason() -> str:
    """Say which signal stopped the run, for people."""
    number = _State.received
    names = {
        _JOB_ENDS: "the end of the job's time, or pre-emption",
        signal.SIGINT: "Ctrl-C",
        signal.SIGHUP: "SIGHUP: its terminal was closed",
    }
    return "stopped" if number is None else names.get(signal.Signals(number), signal.Signals(number).name)


def in_submitted_job() -> bool:
    """Say whether this process is a job of a sweep, started by submitit."""
    return "SUBMITIT_EXECUTOR" in os.environ


@contextmanager
def signals_answered() -> Iterator[None]:
    """Answer signals for a block of code, which may hold others; outside the main thread it does nothing.

    Inside a job of SLURM signals other than the one that announces its end are left to submitit, and SIGHUP stays
    ignored where it is (``nohup``).
    """
    if _State.answered or threading.current_thread() is not threading.main_thread() or in_submitted_job():
        yield
        return
    before = {
        number: signal.getsignal(number)
        for number in STOPPING
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    _State.answered, _State.received = True, None
    for number in before:
        signal.signal(number, _answer)
    try:
        yield
    finally:
        _State.answered = False
        for number, handler in before.items():
            signal.signal(number, handler)


def _answer(number: int, _frame: FrameType | None) -> None:
    """Stop; what comes again while it stops is the same wish from another side, but a Ctrl-C is impatience."""
    again = _State.received is not None
    if again and number != signal.SIGINT:
        return
    if again:
        _end_soon(number)
        raise KeyboardInterrupt
    _State.received = number
    if _State.stop is None:
        raise KeyboardInterrupt
    _State.stop.set()
    if _State.interruptible:
        raise _Interrupt


def _end_soon(number: int) -> None:
    """End the process even if what cleans up hangs."""
    watchdog = threading.Timer(_CLEANING_S, os._exit, [128 + number])
    watchdog.daemon = True
    watchdog.start()


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Turn signals into ``stop`` for a block of code.

    Call after ``ray.init``, which replaces the handlers. Outside the main thread signals do nothing. Inside a job of
    SLURM only the signal that announces its end is turned into ``stop``; :func:`queue_again` then does what submitit
    would have done at once, in the middle of whatever the run was doing.

    Raises:
        Stopped: there was a signal, or ``stop`` was set from elsewhere, before the block as well.
    """
    if stop.is_set():
        raise Stopped
    with signals_answered(), _job_end_noted():
        _State.stop = stop
        try:
            yield
        except _Interrupt:
            raise Stopped from None
        finally:
            _State.stop = None
    # It came after the rounds had looked for the last time.
    if stop.is_set():
        raise Stopped


@contextmanager
def _job_end_noted() -> Iterator[None]:
    """Answer the signal that announces the end of a submitted job for a block of code."""
    if threading.current_thread() is not threading.main_thread() or not in_submitted_job():
        yield
        return
    _State.received, _State.submitit = None, signal.getsignal(_JOB_ENDS)
    signal.signal(_JOB_ENDS, _answer)
    try:
        yield
    finally:
        signal.signal(_JOB_ENDS, _State.submitit)


def queue_again() -> None:
    """Save this job and queue it again, as submitit does at the end of its time; the process ends here.

    Raises:
        UserError: the job has used up its time as often as it may.
        Stopped: nothing says that the job can be queued again.
    """
    if not callable(_State.submitit):
        raise Stopped
    try:
        _State.submitit(_JOB_ENDS, None)
    except Exception as error:
        raise UserError(
            f"the job's time is used up and it was not queued again ({error}); give hydra.launcher.timeout_min more "
            "minutes, or the same command again: it continues after the last complete round"
        ) from error


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Put the signal handlers back as they were before a block of code (``ray.init`` replaces them)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end the block of code at once with :class:`Stopped`."""
    _State.interruptible = True
    try:
        yield
    except _Interrupt:
        raise Stopped from None
    finally:
        _State.interruptible = False
