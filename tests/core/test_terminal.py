"""Tables fit a terminal, and are whole and plain in files and pipes."""

import pytest
from rich.table import Column, Table
from rich.text import Text

from fedlayers.core.machine.terminal import line, plain, show
from tests.support.terminals import terminal

LONG = "a line of [bold]words[/bold] :smile: " * 20


def table() -> Table:
    found = Table.grid("", Column(overflow="fold"), padding=(0, 2, 0, 0))
    found.add_row(Text("name", "red"), Text("x" * 300))
    found.add_row("longer name", "")
    return found


def test_files_and_pipes_get_whole_lines_without_colours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    show(line(LONG), table())
    told = capsys.readouterr().out
    assert told.splitlines() == [LONG.rstrip(), f"name         {'x' * 300}", "longer name"]
    assert told == plain(line(LONG), table()) + "\n"


def test_a_terminal_gets_colours_and_folded_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = terminal(monkeypatch, 80)
    show(line(LONG), table())
    first, *rest = shown.lines()
    assert first == LONG.rstrip(), "the terminal breaks lines itself, so that paths can be copied"
    assert "\x1b[31mname" in shown.getvalue()
    assert all(len(text) <= 80 for text in rest) and "".join(rest).count("x") == 300
