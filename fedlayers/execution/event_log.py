"""The main events of a run, which ``log.txt`` lists with their times: begin, remarks, each round, end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fedlayers.execution.progress import Progress, score

# Apart from the loggers of modules: what it says is on the terminal already.
events = logging.getLogger("fedlayers.run")


@contextmanager
def events_to(handler: logging.Handler) -> Iterator[None]:
    """Let the events of a block of code go to a handler, and to no other."""
    before = events.level, events.propagate
    events.addHandler(handler)
    events.setLevel(logging.INFO)
    events.propagate = False
    try:
        yield
    finally:
        events.removeHandler(handler)
        level, events.propagate = before
        events.setLevel(level)


class LoggedProgress(Progress):
    """A display of progress whose titles, remarks and rounds are events, too.

    Args:
        shown: the display.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown, self._last_round = shown, 0

    def start(self, title: str, first_round: int, last_round: int) -> None:
        """Begin."""
        self._last_round = last_round
        events.info("%s  rounds %s to %s", title, first_round, last_round)
        self._shown.start(title, first_round, last_round)

    def phase(self, server_round: int, name: str, clients: int) -> None:
        """Begin a phase."""
        self._shown.phase(server_round, name, clients)

    def advance(self, clients: int = 1) -> None:
        """Count replies."""
        self._shown.advance(clients)

    def round_done(self, server_round: int, accuracy: float | None, loss: float | None) -> None:
        """Note a round that counts."""
        events.info("round %s/%s  %s", server_round, self._last_round, score(accuracy, loss))
        self._shown.round_done(server_round, accuracy, loss)

    def note(self, text: str) -> None:
        """Tell something in passing."""
        events.info("note: %s", text)
        self._shown.note(text)

    def alarm(self, text: str) -> None:
        """Tell that something goes wrong in the training."""
        events.warning("alarm: %s", text)
        self._shown.alarm(text)

    def close(self) -> None:
        """Take the display away."""
        self._shown.close()
