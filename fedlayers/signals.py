"""Ctrl-C and SIGTERM: a flag that the run looks at, so that it ends at the last committed round."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fedlayers.errors import Stopped, UserError


class _Interrupt(BaseException):
    """Ends a client's work in this process at once; not an Exception, so that no metric can swallow it."""


class _State:
    interruptible = False
    received: int | None = None
    # What submitit does when the job's time ends or it is pre-empted.
    submitit: Any = None


# By this signal SLURM announces a job's end; submitit catches it, saves the job and queues it again.
_JOB_ENDS = signal.SIGUSR2


def last_signal() -> int | None:
    """Return the number of the signal that stopped the run, or None."""
    return _State.received


def stop_reason() -> str:
    """Say what stopped the run, for people."""
    number = _State.received
    names = {_JOB_ENDS: "the end of the job's time, or pre-emption", signal.SIGINT: "Ctrl-C"}
    return "stopped" if number is None else names.get(signal.Signals(number), signal.Signals(number).name)


def in_submitted_job() -> bool:
    """Say whether this process is a job of a sweep, started by submitit."""
    return "SUBMITIT_EXECUTOR" in os.environ


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into ``stop`` for a block of code; a second SIGINT is an ordinary Ctrl-C.

    Call after ``ray.init``, which replaces the handlers. Outside the main thread it does nothing. Inside a
    submitted job only the signal that announces its end is turned into ``stop``; :func:`queue_again` then does what
    submitit would have done at once, in the middle of whatever the run was doing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (_JOB_ENDS,) if in_submitted_job() else (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    _State.received, _State.submitit = None, before.get(_JOB_ENDS)

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        _State.received = number
        stop.set()
        if _State.interruptible:
            raise _Interrupt

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    except _Interrupt:
        raise Stopped from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end the block of code at once with :class:`Stopped`."""
    before, _State.interruptible = _State.interruptible, True
    try:
        yield
    except _Interrupt:
        raise Stopped from None
    finally:
        _State.interruptible = before
