import os
from functools import partial

import pytest

from fedlayers.core.machine import processes
from fedlayers.core.machine.processes import shared_out


def _by(divisor: int, number: int) -> tuple[float, int]:
    return number / divisor, os.getpid()


def test_many_things_are_shared_between_processes_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "available_cpus", lambda: 2)
    things = list(range(2 * processes.LEAST_EACH))
    found = shared_out(partial(_by, 2), things)
    assert [value for value, _ in found] == [thing / 2 for thing in things]
    assert os.getpid() not in {process for _, process in found}
    with pytest.raises(ZeroDivisionError):
        shared_out(partial(_by, 0), things)


@pytest.mark.parametrize(("cpus", "fewer"), [(1, 0), (2, 1)])
def test_few_things_and_a_single_processor_stay_here(monkeypatch: pytest.MonkeyPatch, cpus: int, fewer: int) -> None:
    monkeypatch.setattr(processes, "available_cpus", lambda: cpus)
    things = list(range(2 * processes.LEAST_EACH - fewer))
    assert shared_out(partial(_by, 2), things) == [(thing / 2, os.getpid()) for thing in things]
    assert shared_out(partial(_by, 2), []) == []
