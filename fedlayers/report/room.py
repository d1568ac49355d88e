"""How much a page has room for."""

from collections.abc import Iterator
from dataclasses import dataclass

# Answers are worked out one by one, some twenty milliseconds each: whoever asks for a report waits for all answers of a
# usual run, the end of a run for those that views show at first, and for a hundredth of the time that the run took.
MOST_ANSWERS = 400
_AT_FIRST = 28
_OF_A_MINUTE = 30
# A page of so many values opens at once.
MOST_VALUES = 3_000_000
_FEWEST = 2


def at_end_of_run(wall_s: float) -> int:
    """Return how many questions the report at the end of a run answers.

    Args:
        wall_s: how long the run took, in seconds; whole minutes count, so that short runs have the same report always.
    """
    return min(_AT_FIRST + _OF_A_MINUTE * int(wall_s // 60), MOST_ANSWERS)


@dataclass
class Room:
    """What is left of the room of a page, for one of its runs.

    Attributes:
        answers: how many more questions can be answered.
        values: how many more values there is room for.
    """

    answers: int
    values: int

    def take(self, values: int) -> bool:
        """Say whether there is room for an answer of so many values, which then takes it."""
        if self.answers < 1 or not self.hold(values):
            return False
        self.answers -= 1
        return True

    def hold(self, values: int) -> bool:
        """Say whether there is room for so many values that are no answer about a chart, which then take it."""
        if values > self.values:
            return False
        self.values -= values
        return True


def shares(runs: int, answers: int = MOST_ANSWERS) -> Iterator[Room]:
    """Yield the room of each of some runs: equal parts, and a few answers at least.

    Args:
        runs: how many there are.
        answers: how many all of them may have.
    """
    most = max(_FEWEST, answers // runs)
    for _ in range(runs):
        yield Room(most, MOST_VALUES // runs)
