"""The writer: one job at a time, in order, none forgotten."""

import threading
from collections.abc import Callable

import pytest

from fedlayers.runs.writer import RoundWriter


def test_jobs_run_in_order_and_the_next_waits_for_the_last() -> None:
    writer, gate = RoundWriter(), threading.Event()
    done: list[int] = []

    def first() -> None:
        gate.wait()
        done.append(1)

    writer.later(first)
    assert done == []
    gate.set()
    writer.later(lambda: done.append(2))
    assert done[0] == 1
    writer.close()
    assert done == [1, 2]


@pytest.mark.parametrize("ask", [RoundWriter.settle, RoundWriter.close, lambda writer: writer.later(print)])
def test_what_a_job_raised_is_raised_at_the_next_call_once(ask: Callable[[RoundWriter], None]) -> None:
    writer = RoundWriter()

    def failing() -> None:
        raise OSError("no space")

    writer.later(failing)
    with pytest.raises(OSError, match="no space"):
        ask(writer)
    writer.close()
