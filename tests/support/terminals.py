"""A terminal that a test can look at."""

import io
import re
import sys

import pytest


class FakeTerminal(io.StringIO):
    """Standard output that says it is a terminal and keeps what it shows."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    def lines(self) -> list[str]:
        """Return what it shows, without colours."""
        return [text.rstrip() for text in re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", self.getvalue()).splitlines()]


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> FakeTerminal:
    """Make standard output a colourful terminal of so many columns."""
    for name, value in {"COLUMNS": str(width), "LINES": "60", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    fake = FakeTerminal()
    monkeypatch.setattr(sys, "stdout", fake)
    return fake
