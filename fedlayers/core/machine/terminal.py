"""Tables for people: fitted to a terminal, whole and without colours in files and pipes."""

import io

from rich.console import Console, Group, RenderableType
from rich.text import Text

# Wider than any line, so that nothing is wrapped.
_WHOLE = 10_000


def line(text: str, style: str = "") -> Text:
    """Return a line as it is: square brackets mean nothing, and nothing is wrapped or cut."""
    return Text(text, style, no_wrap=True, overflow="ignore")


def console() -> Console:
    """Return standard output, as wide as its terminal; if it is none, as wide as the lines are."""
    found = Console(highlight=False)
    return found if found.file.isatty() else Console(highlight=False, width=_WHOLE)


def plain(*parts: RenderableType) -> str:
    """Return what a file or a pipe gets: every line whole, without colours and without spaces at its end."""
    sink = Console(file=io.StringIO(), width=_WHOLE, color_system=None, force_terminal=False)
    with sink.capture() as captured:
        sink.print(Group(*parts), crop=False)
    return "\n".join(text.rstrip() for text in captured.get().splitlines())


def fitted(*parts: RenderableType) -> RenderableType:
    """Return what :func:`console` is to print: the parts themselves on a terminal, else :func:`plain` text."""
    return Group(*parts) if console().file.isatty() else line(plain(*parts))


def show(*parts: RenderableType) -> None:
    """Print parts to standard output, one below the other."""
    if console().file.isatty():
        console().print(Group(*parts), crop=False)
    else:  # Rich would end the program if nobody reads the pipe any more.
        print(plain(*parts))
