"""When something is due: named rounds, multiples, moments of their own, steps, and bad entries."""

from typing import Any

import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Schedule, Step


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


@pytest.mark.parametrize(
    ("steps", "due"),
    [
        (["first"], [1]),
        (["last"], [10]),
        (["all"], list(range(1, 11))),
        (["every 3"], [3, 6, 9]),
        (["every epoch"], [4, 8]),
        (["first", 5, "last"], [1, 5, 10]),
        (["every epoch", "every 5", 11], [4, 5, 8, 10]),
        ([], []),
    ],
    ids=str,
)
def test_due_steps(steps: list[str | int], due: list[int]) -> None:
    schedule = Schedule(["all"], steps=steps)
    assert [n for n in range(1, 11) if schedule.is_due_step(Step(n, last=10, per_epoch=4))] == due


@pytest.mark.parametrize(
    ("steps", "reached"),
    [([], False), (["last"], True), ([5], True), ([6], False), (["every 5"], True), (["every 6"], False)],
)
def test_steps_that_no_training_comes_to(steps: list[str | int], reached: bool) -> None:
    assert Schedule(["all"], steps=steps).is_reached(last=5, per_epoch=5) == reached
    assert Schedule(["all"], steps=["every epoch"]).is_reached(last=5, per_epoch=5)
    assert not Schedule(["all"], steps=["every epoch"]).is_reached(last=5, per_epoch=6)


@pytest.mark.parametrize("entry", ["epoch", "every", "every 0", "every  epoch", 0, -1, 2.5, True, None])
def test_bad_steps_are_named(entry: Any) -> None:
    with pytest.raises(
        UserError, match=r"metrics\.weights\.steps must be first, last, all, 'every k', 'every epoch' or s"
    ):
        Schedule(["all"], ["after_local"], key="metrics.weights", steps=[entry])


def test_steps_are_a_list_and_lead_to_the_end_of_local_training() -> None:
    with pytest.raises(UserError, match=r"schedule\.steps must be a list, got 'every 5'; write \[every 5\]"):
        Schedule(["all"], steps="every 5")
    allowed = r"schedule\.moments must be a list with after_local for steps=\['every 5'\], got \['final'\]"
    with pytest.raises(UserError, match=allowed):
        Schedule(["all"], ["final"], steps=["every 5"])
