"""Progress of a run while it goes on: bars on a terminal, sparse lines elsewhere, or nothing."""

import contextlib
import logging
import sys
import time
from typing import IO, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from fedlayers.execution.pace import Clock, Pace

_LINE_EVERY_S = 5.0
_LINE_WITHIN_ROUND_EVERY_S = 30.0
# A closed terminal or pipe must not end the run.
_UNLESS_CLOSED = contextlib.suppress(OSError, ValueError)


class Progress:
    """Takes note of how far a run is and shows nothing; the other kinds show it.

    Use it as a context manager or call :meth:`close` in a ``finally``.
    """

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the display away."""
        self.close()

    def start(self, title: str, first_round: int, last_round: int) -> None:
        """Begin: rounds ``first_round`` (more than 1 if resumed) to ``last_round`` lie ahead."""

    def phase(self, server_round: int, name: str, clients: int) -> None:
        """Note that ``clients`` clients were asked to do something: start, train, evaluate or final."""

    def advance(self, clients: int = 1) -> None:
        """Note that so many more clients of the phase have replied."""

    def round_done(self, server_round: int, accuracy: float | None, loss: float | None) -> None:
        """Note that a round is committed, with accuracy and loss after aggregation if they were measured."""

    def note(self, text: str) -> None:
        """Tell something in passing, without disturbing the display."""

    def alarm(self, text: str) -> None:
        """Tell that something goes wrong in the training, which goes on."""

    def close(self) -> None:
        """Take the display away; may be called at any time and more than once."""


def make_progress(kind: str) -> Progress:
    """Return the display of the given kind.

    Args:
        kind: ``live`` (bars on standard error), ``plain`` (lines on standard error), ``none``, or ``auto``: live if
            standard error is a terminal, else plain.

    Raises:
        ValueError: for another kind.
    """
    if kind == "auto":
        kind = "live" if sys.stderr is not None and sys.stderr.isatty() else "plain"
    if kind == "live":
        return LiveProgress()
    if kind == "plain":
        return PlainProgress()
    if kind == "none":
        return Progress()
    raise ValueError(f"progress must be one of auto, live, plain, none, got {kind!r}")


def score(accuracy: float | None, loss: float | None) -> str:
    """Return accuracy and loss in words, of those that were measured."""
    shown = [f"{name} {value:.3f}" for name, value in (("accuracy", accuracy), ("loss", loss)) if value is not None]
    return "  ".join(shown)


class PlainProgress(Progress):
    """Lines for logs: the first and last round, others at most every few seconds, and signs of life in long rounds.

    Args:
        stream: where to write; standard error by default.
        clock: seconds that only grow.
    """

    def __init__(self, stream: IO[str] | None = None, clock: Clock = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._pace: Pace | None = None
        self._last_line = 0.0
        self._trained = 0

    def start(self, title: str, first_round: int, last_round: int) -> None:
        """Write the title."""
        self._pace = Pace(first_round, last_round, self._clock)
        rounds = f"rounds {first_round} to {last_round}" if first_round <= last_round else "no rounds left"
        self._write(f"{title}  {rounds}")

    def phase(self, server_round: int, name: str, clients: int) -> None:
        """Begin a phase."""
        if self._pace:
            self._pace.phase(name, clients)
            self._trained = clients if name == "train" else self._trained

    def advance(self, clients: int = 1) -> None:
        """Count replies; write a line if the round has been silent for long."""
        pace = self._pace
        if pace is None:
            return
        pace.replied += clients
        if self._clock() - self._last_line >= _LINE_WITHIN_ROUND_EVERY_S:
            speed = f"{pace.clients_per_s:.3g} clients/s" if pace.clients_per_s else ""
            where = f"round {min(pace.done + 1, pace.last_round)}/{pace.last_round}"
            self._write(where, f"{pace.phase_name} {pace.replied}/{pace.phase_clients} clients", speed, pace.left)

    def round_done(self, server_round: int, accuracy: float | None, loss: float | None) -> None:
        """Write a line for the first and last round, and for others after some silence."""
        pace = self._pace
        if pace is None:
            return
        pace.round_done(server_round)
        is_end = server_round in (pace.first_round, pace.last_round)
        if is_end or self._clock() - self._last_line >= _LINE_EVERY_S:
            clients = f"{self._trained} clients" if self._trained else ""
            left = pace.left if server_round < pace.last_round else ""
            self._write(f"round {server_round}/{pace.last_round}", clients, pace.rate, left, score(accuracy, loss))

    def note(self, text: str) -> None:
        """Write the text on a line of its own."""
        self._write(f"note: {text}")

    def alarm(self, text: str) -> None:
        """Write the text on a line of its own."""
        self._write(f"alarm: {text}")

    def _write(self, *parts: str) -> None:
        self._last_line = self._clock()
        with _UNLESS_CLOSED:
            print("  ".join(part for part in parts if part), file=self._stream or sys.stderr, flush=True)


class LiveProgress(Progress):
    """Two bars on a terminal, rounds and the clients of this phase, with speed, time left and the last accuracy.

    Args:
        console: where to draw; standard error by default.
        clock: seconds that only grow.
    """

    def __init__(self, console: Console | None = None, clock: Clock = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._pace: Pace | None = None
        self._bars: Bars | None = None
        self._moved: list[tuple[logging.StreamHandler[IO[str]], IO[str]]] = []
        self.score = ""

    def start(self, title: str, first_round: int, last_round: int) -> None:
        """Draw the bars."""
        self._pace = pace = Pace(first_round, last_round, self._clock)
        self._above(title)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=14),
            MofNCompleteColumn(),
            _RoundState(self, pace),
        )
        self._bars = Bars(*columns, console=self._console, refresh_per_second=4, transient=True)
        self._rounds = self._bars.add_task("round", total=last_round, completed=first_round - 1)
        self._clients = self._bars.add_task("clients", total=None)
        before = (sys.stderr, sys.stdout)
        self._bars.start()
        self._move_handlers(before)

    def phase(self, server_round: int, name: str, clients: int) -> None:
        """Begin a phase with an empty bar of clients."""
        if self._bars and self._pace:
            self._pace.phase(name, clients)
            self._bars.reset(self._clients, total=clients, description=name)

    def advance(self, clients: int = 1) -> None:
        """Move the bar of clients."""
        if self._bars and self._pace:
            self._pace.replied += clients
            self._bars.advance(self._clients, clients)

    def round_done(self, server_round: int, accuracy: float | None, loss: float | None) -> None:
        """Move the bar of rounds."""
        if self._bars and self._pace:
            self._pace.round_done(server_round)
            self.score = score(accuracy, None) or self.score
            self._bars.update(self._rounds, completed=server_round)

    def note(self, text: str) -> None:
        """Print the text above the bars."""
        self._above(f"note: {text}")

    def alarm(self, text: str) -> None:
        """Print the text above the bars."""
        self._above(f"alarm: {text}")

    def _above(self, text: str) -> None:
        with _UNLESS_CLOSED:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take the bars away and leave one line that says how far the run came."""
        bars, self._bars = self._bars, None
        if bars is None or self._pace is None:
            return
        for handler, stream in self._moved:
            handler.setStream(stream)
        self._moved.clear()
        with _UNLESS_CLOSED:
            bars.stop()
        line = (f"round {self._pace.done}/{self._pace.last_round}", self._pace.rate, self.score)
        self._above("  ".join(part for part in line if part))

    def _move_handlers(self, before: tuple[IO[str], IO[str]]) -> None:
        """Send what logging writes to the terminal through the display; handlers hold on to the stream they got."""
        loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
        for handler in {handler for logger in loggers for handler in logger.handlers}:
            if isinstance(handler, logging.StreamHandler) and handler.stream in before:
                self._moved.append((handler, handler.stream))
                handler.setStream(sys.stderr if handler.stream is before[0] else sys.stdout)


class _RoundState(ProgressColumn):
    """Speed, time left and scores right of the bar of rounds, speed right of the bar of clients."""

    def __init__(self, display: LiveProgress, pace: Pace) -> None:
        super().__init__(Column(no_wrap=True))
        self._display = display
        self._pace = pace

    def render(self, task: Task) -> Text:
        """Return the text right of the bar of ``task``, as of now."""
        pace = self._pace
        if task.description == "round":
            return Text(
                "  ".join(part for part in (pace.rate, pace.left.removeprefix("about "), self._display.score) if part)
            )
        return Text(f"{pace.clients_per_s:.3g} clients/s" if pace.clients_per_s else "")
