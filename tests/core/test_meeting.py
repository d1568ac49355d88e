"""Pieces of work side by side: who waits for the same is served at once, and nobody notices the others."""

import random
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from fedlayers.core.cohorts.meeting import Alone, meet, own_time, side_by_side
from fedlayers.core.seeding import global_state


class Summing:
    """Adds to every job the number of jobs that are done at once; writes down which these are."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []

    def together(self, jobs: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(jobs))
        return [ValueError(f"no {job}") if job < 0 else job + len(jobs) for job in jobs]


def test_jobs_of_one_kind_are_done_at_once_and_each_goes_on_with_its_own() -> None:
    summing = Summing()

    def work(number: int) -> Callable[[], list[int]]:
        def piece() -> list[int]:
            first = meet(number, summing.together, "even" if number % 2 == 0 else "odd")
            return [first, meet(first, summing.together)] if number else [first]

        return piece

    assert side_by_side([work(number) for number in range(5)]) == [[3], [3, 7], [5, 9], [5, 9], [7, 11]]
    assert summing.groups == [[0, 2, 4], [1, 3], [3, 5, 5, 7]]


def test_alone_a_job_is_done_at_once() -> None:
    summing = Summing()
    assert meet(3, summing.together) == 4
    with pytest.raises(ValueError, match="no -3"):
        meet(-3, summing.together)
    assert side_by_side([lambda: meet(1, summing.together)]) == [2]


def test_what_fails_for_one_is_raised_there_and_the_others_go_on() -> None:
    summing = Summing()

    def work(number: int) -> Callable[[], str]:
        def piece() -> str:
            try:
                return str(meet(number, summing.together))
            except ValueError as error:
                return str(error)

        return piece

    assert side_by_side([work(1), work(-2), work(3)]) == ["4", "no -2", "6"]


def test_what_fails_for_all_is_raised_in_each() -> None:
    def broken(jobs: Sequence[int]) -> list[int]:
        raise RuntimeError("all of it")

    def piece() -> str:
        with pytest.raises(RuntimeError, match="all of it"):
            meet(1, broken)
        return "went on"

    assert side_by_side([piece, piece]) == ["went on", "went on"]


def test_an_exception_that_nobody_catches_ends_all_in_order() -> None:
    left: list[int] = []

    def waits(number: int) -> Callable[[], int]:
        def piece() -> int:
            try:
                return meet(number, Summing().together)
            finally:
                left.append(number)

        return piece

    def fails() -> int:
        raise KeyError("gone")

    before = torch.get_rng_state()
    with pytest.raises(KeyError, match="gone"):
        side_by_side([waits(1), waits(2), fails])
    assert left == [1, 2]
    assert torch.equal(torch.get_rng_state(), before)


def test_global_random_numbers_are_those_of_each_alone() -> None:
    def work(number: int) -> Callable[[], list[float]]:
        def draws() -> list[float]:
            return [random.random(), np.random.normal(), float(torch.rand(()))]

        def piece() -> list[float]:
            with global_state(number, "client"):
                found = draws()
                meet(number, Summing().together)
                return found + draws()

        return piece

    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]
    together = side_by_side([work(number) for number in range(3)])
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states  # type: ignore[index]
    assert together == [work(number)() for number in range(3)]
    assert len({tuple(found) for found in together}) == 3


def test_modes_of_autograd_stay_with_their_piece() -> None:
    def modes(jobs: Sequence[bool]) -> list[bool]:
        return [torch.is_grad_enabled()] * len(jobs)

    def without() -> list[bool]:
        with torch.no_grad():
            return [meet(False, modes), torch.is_grad_enabled()]

    def plain() -> list[bool]:
        return [meet(True, modes), torch.is_grad_enabled()]

    assert side_by_side([without, plain]) == [[True, False], [True, True]]

    def inferring() -> list[list[int]]:
        summing = Summing()
        with torch.inference_mode():
            meet(1, summing.together)
        return summing.groups

    assert side_by_side([inferring, inferring]) == [[[1]], [[1]]]


def test_own_time_counts_what_is_own(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slowly(jobs: Sequence[int]) -> list[int]:
        clock[0] += 8
        return list(jobs)

    def work(size: int) -> Callable[[], float]:
        def piece() -> float:
            began = own_time()
            clock[0] += size * 100
            meet(0, slowly, size=size)
            return own_time() - began

        return piece

    assert side_by_side([work(1), work(3)]) == [102, 306]
    assert work(1)() == 108


def test_time_for_one_alone_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slowly(jobs: Sequence[float]) -> list[float]:
        clock[0] += 8 + sum(jobs)
        return list(jobs)

    def seconds(outcome: float | Alone[float] | Exception) -> float:
        assert isinstance(outcome, float)
        return outcome

    def work(alone: float, size: int) -> Callable[[], float]:
        def piece() -> float:
            began = own_time()
            meet(alone, slowly, size=size, alone_s=seconds)
            return own_time() - began

        return piece

    assert side_by_side([work(5.0, 1), work(0.0, 3)]) == [2 + 5, 6]
