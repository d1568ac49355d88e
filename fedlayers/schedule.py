"""When something is due: which rounds and which moments."""

from collections.abc import Sequence

from fedlayers.config import check
from fedlayers.records import MOMENTS


class Schedule:
    """Rounds and moments at which a metric or snapshot is due.

    Args:
        rounds: ``"first"`` (round 1), ``"last"``, ``"all"``, ``"every k"`` (k, 2k, …) or round numbers.
        moments: some of ``start``, ``after_local``, ``after_aggregate``, ``final``.
        key: the configuration key that error messages name.

    ``start`` (round 0) and ``final`` are moments of their own: due if named, whatever ``rounds`` says.
    """

    def __init__(self, rounds: Sequence[str | int], moments: Sequence[str] = MOMENTS, key: str = "schedule") -> None:
        for entry in rounds:
            check(_is_round(entry), f"{key}.rounds", "first, last, all, 'every k' or round numbers from 1", entry)
        for moment in moments:
            check(moment in MOMENTS, f"{key}.moments", "some of " + ", ".join(MOMENTS), moment)
        self.rounds = tuple(rounds)
        self.moments = tuple(moments)

    def is_due(self, server_round: int, last_round: int, moment: str) -> bool:
        """Say whether it is due at this round and moment of a run with ``last_round`` rounds."""
        if moment not in self.moments:
            return False
        return moment in ("start", "final") or self.is_due_round(server_round, last_round)

    def is_due_round(self, server_round: int, last_round: int) -> bool:
        """Say whether the round is one of the schedule's."""
        return any(_matches(entry, server_round, last_round) for entry in self.rounds)


def _is_round(entry: str | int) -> bool:
    if isinstance(entry, int):
        return entry >= 1
    words = entry.split()
    return entry in ("first", "last", "all") or (len(words) == 2 and words[0] == "every" and words[1].isdigit() and int(words[1]) > 0)


def _matches(entry: str | int, server_round: int, last_round: int) -> bool:
    if isinstance(entry, int):
        return server_round == entry
    named = {"first": server_round == 1, "last": server_round == last_round, "all": True}
    return named[entry] if entry in named else server_round % int(entry.split()[1]) == 0
