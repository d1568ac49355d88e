"""The writer: one job at a time, in order, none forgotten."""

import threading

import pytest

from fedlayers.writer import Writer


def test_jobs_run_in_order_and_the_next_waits_for_the_last() -> None:
    writer, done, gate = Writer(), [], threading.Event()

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


@pytest.mark.parametrize(
    "ask", [lambda writer: writer.settle(), lambda writer: writer.close(), lambda writer: writer.later(print)]
)
def test_what_a_job_raised_is_raised_at_the_next_call_once(ask) -> None:  # type: ignore[no-untyped-def]
    writer = Writer()

    def failing() -> None:
        raise OSError("no space")

    writer.later(failing)
    with pytest.raises(OSError, match="no space"):
        ask(writer)
    writer.close()
