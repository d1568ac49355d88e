"""Ctrl-C and SIGTERM: a flag that the run looks at, so that it ends at the last committed round."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fedlayers.errors import Stopped


class _Interrupt(BaseException):
    """Ends a client's work in this process at once; not an Exception, so that no metric can swallow it."""


class _State:
    interruptible = False
    received: int | None = None


def last_signal() -> int | None:
    """Return the number of the signal that stopped the run, or None."""
    return _State.received


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into ``stop`` for a block of code; a second SIGINT is an ordinary Ctrl-C.

    Call after ``ray.init``, which replaces the handlers. Outside the main thread it does nothing. Inside a
    submitit job submitit's own handlers, saved by :func:`keep_handlers`, stay in charge.
    """
    if threading.current_thread() is not threading.main_thread() or "SUBMITIT_EXECUTOR" in os.environ:
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    _State.received = None

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
    _State.interruptible = True
    try:
        yield
    except _Interrupt:
        raise Stopped from None
    finally:
        _State.interruptible = False
