"""When something is due: which rounds, which moments, and which steps inside local training."""

import re
from collections.abc import Sequence

from fedlayers.core.checks import check
from fedlayers.core.records import MOMENTS
from fedlayers.core.tables.row_kind import row_kind

# The steps at which a pass over the client's examples ends: as many as fit differ from client to client.
EVERY_EPOCH = "every epoch"


@row_kind
class Step:
    """A place in the local training of one client and round.

    Attributes:
        number: the optimizer steps that are done, from 1.
        last: how many there will be.
        per_epoch: how many make a pass over the client's examples.
    """

    number: int
    last: int
    per_epoch: int


class Schedule:
    """Rounds, moments and steps at which a metric or snapshot is due.

    Args:
        rounds: ``"first"`` (round 1), ``"last"``, ``"all"``, ``"every k"`` (k, 2k, …) or round numbers from 1.
        moments: some of ``start``, ``after_local``, ``after_aggregate``, ``final``.
        key: the configuration key that error messages name.
        steps: steps inside the local training of those rounds, said as rounds are, or ``"every epoch"``.

    ``start`` (round 0) and ``final`` are moments of their own: due if named, whatever ``rounds`` says. Steps lead to
    ``after_local``, which has to be among the moments.

    Raises:
        UserError: if an entry is none of these.
    """

    def __init__(
        self,
        rounds: Sequence[str | int],
        moments: Sequence[str] = MOMENTS,
        key: str = "schedule",
        steps: Sequence[str | int] = (),
    ) -> None:
        for name, entries in (("rounds", rounds), ("moments", moments), ("steps", steps)):
            check(_is_list(entries), f"{key}.{name}", "a list", entries, f"write [{entries}]")
        for entry in rounds:
            check(_is_number(entry), f"{key}.rounds", "first, last, all, 'every k' or round numbers from 1", entry)
        for moment in moments:
            check(moment in MOMENTS, f"{key}.moments", "some of " + ", ".join(MOMENTS), moment)
        for entry in steps:
            allowed = f"first, last, all, 'every k', '{EVERY_EPOCH}' or step numbers from 1"
            check(_is_number(entry) or entry == EVERY_EPOCH, f"{key}.steps", allowed, entry)
        reached = not steps or "after_local" in moments
        check(reached, f"{key}.moments", f"a list with after_local for steps={list(steps)}", list(moments))
        self.rounds = tuple(rounds)
        self.moments = tuple(moments)
        self.steps = tuple(steps)

    def is_due(self, server_round: int, last_round: int, moment: str) -> bool:
        """Say whether it is due at this round and moment of a run with ``last_round`` rounds."""
        if moment not in self.moments:
            return False
        return moment in ("start", "final") or self.is_due_round(server_round, last_round)

    def is_due_round(self, server_round: int, last_round: int) -> bool:
        """Say whether the round is one of the schedule's."""
        return any(_matches(entry, server_round, last_round) for entry in self.rounds)

    def is_due_step(self, step: Step) -> bool:
        """Say whether the step of a local training is one of the schedule's."""
        return any(
            step.number % step.per_epoch == 0 if entry == EVERY_EPOCH else _matches(entry, step.number, step.last)
            for entry in self.steps
        )

    def is_reached(self, last: int, per_epoch: int) -> bool:
        """Say whether a local training of ``last`` steps comes to one of the schedule's."""
        return any(per_epoch <= last if entry == EVERY_EPOCH else _comes(entry, last) for entry in self.steps)


def never(entries: Sequence[str | int], last: int) -> list[str | int]:
    """Return those of some entries for rounds or steps that none from 1 to ``last`` is."""
    return [entry for entry in entries if entry != EVERY_EPOCH and not _comes(entry, last)]


def check_due(schedule: Schedule, last_round: int, key: str) -> None:
    """Raise UserError if something would never be due in a run of ``last_round`` rounds.

    Args:
        schedule: when it is due.
        last_round: the number of rounds of the run.
        key: the configuration key that the message names.
    """
    check(bool(schedule.moments), f"{key}.moments", "one moment or more, such as [after_local]", [])
    if not {"start", "final"} & set(schedule.moments):
        some = any(_comes(entry, last_round) for entry in schedule.rounds)
        allowed = f"a list with one round or more of this run, from 1 to {last_round}"
        check(some, f"{key}.rounds", allowed, list(schedule.rounds), "[last] is its last round, [all] is each")


def _comes(entry: str | int, last: int) -> bool:
    """Say whether an entry names any of the rounds or steps from 1 to ``last``."""
    if isinstance(entry, str) and entry.startswith("every "):
        entry = int(entry.split()[1])
    return isinstance(entry, str) or entry <= last


def _is_list(entries: object) -> bool:
    return isinstance(entries, Sequence) and not isinstance(entries, str)


def _is_number(entry: object) -> bool:
    if isinstance(entry, int) and not isinstance(entry, bool):
        return entry >= 1
    return isinstance(entry, str) and re.fullmatch("first|last|all|every [1-9][0-9]*", entry) is not None


def _matches(entry: str | int, number: int, last: int) -> bool:
    if isinstance(entry, int):
        return number == entry
    named = {"first": number == 1, "last": number == last, "all": True}
    return named[entry] if entry in named else number % int(entry.split()[1]) == 0
