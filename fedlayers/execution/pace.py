"""How fast a run goes: durations of rounds, replies a second, time left."""

import time
from collections import deque
from collections.abc import Callable

_ROUNDS_IN_AVERAGE = 8

Clock = Callable[[], float]


class Pace:
    """How fast rounds and clients go by, and how much time is left.

    Args:
        first_round, last_round: the rounds that lie ahead.
        clock: seconds that only grow.
    """

    def __init__(self, first_round: int, last_round: int, clock: Clock = time.monotonic) -> None:
        self.first_round, self.last_round, self.done = first_round, last_round, first_round - 1
        self.phase_name, self.phase_clients, self.replied = "", 0, 0
        self._clock = clock
        self._durations: deque[float] = deque(maxlen=_ROUNDS_IN_AVERAGE)
        self._round_began = self._phase_began = clock()

    def phase(self, name: str, clients: int) -> None:
        """Begin a phase."""
        self.phase_name, self.phase_clients, self.replied = name, clients, 0
        self._phase_began = self._clock()
        if name == "train" and not self._durations and self.done < self.first_round:
            # What came before the first round (loading, round 0) says nothing about rounds.
            self._round_began = self._phase_began

    def round_done(self, server_round: int) -> None:
        """Count a round."""
        now = self._clock()
        if server_round >= self.first_round:
            self._durations.append(now - self._round_began)
            self.done = server_round
        self._round_began = now

    @property
    def round_s(self) -> float | None:
        """Mean duration of the last rounds."""
        return sum(self._durations) / len(self._durations) if self._durations else None

    @property
    def left_s(self) -> float | None:
        """Time to the end of the last round, from the mean of the last rounds and what this one has used."""
        if self.round_s is None:
            return None
        ahead = max(0, self.last_round - self.done)
        used = min(self._clock() - self._round_began, self.round_s) if ahead else 0.0
        return ahead * self.round_s - used

    @property
    def clients_per_s(self) -> float | None:
        """Replies a second in this phase."""
        elapsed = self._clock() - self._phase_began
        return self.replied / elapsed if self.replied and elapsed > 0 else None

    @property
    def rate(self) -> str:
        """Speed of rounds as text: ``4.1 s/round`` or, under a second, ``90 rounds/min``."""
        if self.round_s is None:
            return ""
        return f"{self.round_s:.1f} s/round" if self.round_s >= 1 else f"{60 / max(self.round_s, 1e-9):.0f} rounds/min"

    @property
    def left(self) -> str:
        """Time left as text: ``about 1 min 10 s left``."""
        return "" if self.left_s is None else f"about {duration(self.left_s)} left"


def duration(seconds: float) -> str:
    """Return a duration as text with its two leading units, such as ``1 min 10 s``."""
    whole = max(0, round(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    leading = next((i for i, (count, _) in enumerate(parts) if count), 3)
    return " ".join(
        f"{count} {unit}" for count, unit in parts[leading : leading + 2] if count or unit == parts[leading][1]
    )
