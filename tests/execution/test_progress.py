import io
import logging
import sys

import pytest
from rich.console import Console

from fedlayers.execution.pace import Pace, duration
from fedlayers.execution.progress import LiveProgress, PlainProgress, Progress, make_progress


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError("gone")


def play(progress: Progress, clock: FakeClock, rounds: int, round_s: float, clients: int = 10, first: int = 1) -> None:
    progress.start("FMNIST fedavg seed 0", first, rounds)
    for server_round in range(first, rounds + 1):
        for name in ("train", "evaluate"):
            progress.phase(server_round, name, clients)
            for _ in range(clients):
                clock.now += round_s / 2 / clients
                progress.advance()
        progress.round_done(server_round, 0.8, 0.5)
    progress.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (70, "1 min 10 s"),
        (60, "1 min"),
        (7325, "2 h 2 min"),
        (90000, "1 d 1 h"),
        (-3, "0 s"),
        (59.6, "1 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_time_left_is_the_mean_round_times_the_rounds_ahead() -> None:
    clock = FakeClock()
    pace = Pace(1, 5, clock)
    assert pace.left_s is None
    clock.now += 50  # loading and round 0 do not count
    pace.phase("train", 10)
    clock.now += 4
    pace.round_done(1)
    clock.now += 2
    pace.round_done(2)
    assert pace.round_s == 3
    assert pace.left_s == 9
    clock.now += 1
    assert pace.left_s == 8
    clock.now += 100  # a slow round never makes the time left smaller than what the others need
    assert pace.left_s == 6


def test_average_follows_the_last_rounds() -> None:
    clock = FakeClock()
    pace = Pace(1, 100, clock)
    pace.phase("train", 1)
    for server_round in range(1, 21):
        clock.now += 10 if server_round <= 10 else 1
        pace.round_done(server_round)
    assert pace.round_s == 1
    assert pace.left_s == 80


def test_clients_per_second() -> None:
    clock = FakeClock()
    pace = Pace(1, 2, clock)
    pace.phase("train", 10)
    assert pace.clients_per_s is None
    pace.replied += 6
    clock.now += 3
    assert pace.clients_per_s == 2


def test_plain_lines_read_as_promised() -> None:
    clock, stream = FakeClock(), io.StringIO()
    play(PlainProgress(stream, clock), clock, rounds=20, round_s=4.1)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "FMNIST fedavg seed 0  rounds 1 to 20"
    assert "round 3/20  10 clients  4.1 s/round  about 1 min 10 s left  accuracy 0.800  loss 0.500" in lines
    assert lines[-1] == "round 20/20  10 clients  4.1 s/round  accuracy 0.800  loss 0.500"


def test_plain_lines_are_thinned_by_time_but_first_and_last_stay() -> None:
    clock, stream = FakeClock(), io.StringIO()
    play(PlainProgress(stream, clock), clock, rounds=1000, round_s=0.05)
    lines = stream.getvalue().splitlines()
    assert lines[1].startswith("round 1/1000  10 clients  1200 rounds/min")
    assert lines[-1].startswith("round 1000/1000")
    assert len(lines) <= 3 + 50 / 5


def test_plain_shows_life_within_a_long_round() -> None:
    clock, stream = FakeClock(), io.StringIO()
    play(PlainProgress(stream, clock), clock, rounds=1, round_s=200)
    text = stream.getvalue()
    assert "round 1/1  train 3/10 clients  0.1 clients/s" in text
    assert "round 1/1  evaluate" in text


def test_a_resumed_run_counts_from_its_first_round() -> None:
    clock, stream = FakeClock(), io.StringIO()
    play(PlainProgress(stream, clock), clock, rounds=7, round_s=10, first=6)
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith("rounds 6 to 7")
    assert lines[1].startswith("round 6/7  10 clients  10.0 s/round  about 10 s left")


def test_absent_scores_and_notes() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream, FakeClock())
    progress.start("t", 1, 1)
    progress.note("client 3 lost its worker")
    progress.round_done(1, None, None)
    assert stream.getvalue().splitlines()[1] == "note: client 3 lost its worker"
    assert "accuracy" not in stream.getvalue()


@pytest.mark.parametrize("kind", ["live", "plain", "none"])
def test_calls_out_of_order_do_no_harm(kind: str) -> None:
    progress = make_progress(kind)
    progress.close()
    progress.phase(1, "train", 3)
    progress.advance()
    progress.round_done(1, 0.5, None)
    progress.close()


def test_a_closed_pipe_does_not_end_the_run() -> None:
    play(PlainProgress(Closed(), FakeClock()), FakeClock(), rounds=2, round_s=1)


def test_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_progress("live"), LiveProgress)
    assert type(make_progress("none")) is Progress
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(make_progress("auto"), LiveProgress)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(make_progress("auto"), PlainProgress)
    with pytest.raises(ValueError, match="progress must be one of auto, live, plain, none, got 'bars'"):
        make_progress("bars")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def live(terminal: Terminal, clock: FakeClock) -> LiveProgress:
    return LiveProgress(Console(file=terminal, force_terminal=True, width=120, color_system=None), clock)


def test_live_shows_rounds_clients_speed_and_time_left(terminal: Terminal) -> None:
    clock = FakeClock()
    progress = live(terminal, clock)
    progress.start("FMNIST fedavg seed 0", 1, 20)
    progress.phase(1, "train", 10)
    clock.now += 4
    progress.advance(8)
    progress.round_done(1, 0.812, None)
    progress._bars.refresh()  # type: ignore[union-attr]
    shown = terminal.getvalue()
    progress.close()
    for text in (
        "FMNIST fedavg seed 0",
        "1/20",
        "4.0 s/round",
        "1 min 16 s left",
        "accuracy 0.812",
        "8/10",
        "2 clients/s",
    ):
        assert text in shown, text
    assert terminal.getvalue().rstrip().endswith("round 1/20  4.0 s/round  accuracy 0.812")


def test_logging_and_notes_go_above_the_bars(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    logger = logging.getLogger("test_progress.lines")
    handler = logging.StreamHandler(terminal)
    logger.addHandler(handler)
    try:
        with live(terminal, FakeClock()) as progress:
            progress.start("title", 1, 2)
            assert handler.stream is not terminal
            logger.warning("client 3 is slow")
            progress.note("[bold] is not markup here")
            print("printed", file=sys.stderr)
        assert handler.stream is terminal
    finally:
        logger.removeHandler(handler)
    lines = [line.rsplit("\x1b[2K", 1)[-1].strip("\r") for line in terminal.getvalue().splitlines()]
    for text in ("client 3 is slow", "note: [bold] is not markup here", "printed"):
        assert text in lines, text


def test_an_exception_leaves_the_terminal_as_it_was(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(RuntimeError, match="boom"), live(terminal, FakeClock()) as progress:
        progress.start("title", 1, 2)
        raise RuntimeError("boom")
    assert sys.stderr is terminal
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h")


@pytest.mark.parametrize("kind", ["live", "plain"])
def test_calls_draw_seldom(kind: str, terminal: Terminal) -> None:
    progress = live(terminal, FakeClock()) if kind == "live" else PlainProgress(terminal)
    progress.start("title", 1, 10)
    progress.phase(1, "train", 1000)
    for _ in range(1000):
        progress.advance()
    progress.close()
    # It is drawn now and then, not with every call.
    assert terminal.getvalue().count("\n") + terminal.getvalue().count("\x1b[2K") < 500
