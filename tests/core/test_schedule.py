"""When something is due: named rounds, multiples, moments of their own, and bad entries."""

from typing import Any

import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Schedule


@pytest.mark.parametrize(
    ("rounds", "due"),
    [
        (["first"], [1]),
        (["last"], [10]),
        (["first", "last"], [1, 10]),
        (["all"], list(range(1, 11))),
        (["every 3"], [3, 6, 9]),
        ([2, 7], [2, 7]),
        (["every 5", 1], [1, 5, 10]),
        ([], []),
        ([11], []),
    ],
    ids=str,
)
def test_due_rounds(rounds: list[str | int], due: list[int]) -> None:
    schedule = Schedule(rounds)
    assert [r for r in range(1, 11) if schedule.is_due_round(r, 10)] == due
    assert [r for r in range(1, 11) if schedule.is_due(r, 10, "after_local")] == due


def test_a_run_of_one_round_is_first_and_last() -> None:
    assert Schedule(["first"]).is_due_round(1, 1)
    assert Schedule(["last"]).is_due_round(1, 1)


def test_only_named_moments_are_due() -> None:
    schedule = Schedule(["all"], ["after_local"])
    assert schedule.is_due(3, 5, "after_local")
    assert not schedule.is_due(3, 5, "after_aggregate")
    assert not schedule.is_due(5, 5, "final")


def test_start_and_final_do_not_depend_on_rounds() -> None:
    schedule = Schedule([2], ["start", "final"])
    assert schedule.is_due(0, 5, "start")
    assert schedule.is_due(5, 5, "final")
    assert not schedule.is_due(2, 5, "after_local")


@pytest.mark.parametrize(
    "entry", ["sometimes", "every", "every 0", "every -2", "every ²", "every 2.5", "", 0, -1, 1.5, True, None]
)
def test_bad_rounds_are_named(entry: Any) -> None:
    with pytest.raises(UserError, match=r"metrics\.weights\.rounds must be first, last, all"):
        Schedule([entry], key="metrics.weights")


def test_bad_moments_are_named() -> None:
    with pytest.raises(UserError, match=r"snapshots\.moments must be some of start, after_local.*got 'afterwards'"):
        Schedule(["all"], ["afterwards"], key="snapshots")


def test_a_bare_word_is_not_a_list() -> None:
    with pytest.raises(UserError, match=r"metrics\.weights\.rounds must be a list, got 'all'; write \[all\]"):
        Schedule("all", key="metrics.weights")
    with pytest.raises(UserError, match=r"schedule\.moments must be a list, got 'final'"):
        Schedule(["all"], "final")
