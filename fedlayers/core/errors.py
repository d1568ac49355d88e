"""The exceptions of fedlayers that a caller can act on."""

import re

# Values that fill the screen: a list, a text in quotes, a word.
_LONG = (re.compile(r"\[[^\[\]]{200,}\]"), re.compile(r"'[^'\n]{300,}'"), re.compile(r"\S{400,}"))
_HEAD = 60


class UserError(Exception):
    """A mistake in what the user asked for, told in one sentence and shown without a traceback.

    The sentence names the dotted key or argument, what is allowed, what came and what to do. What came is shortened if
    it is long, and what cannot be printed is written out.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(_tidy(sentence))


class Stopped(Exception):
    """The run was asked to stop (Ctrl-C, SIGTERM); everything up to the last committed round is on disk."""


class ClientFailed(Exception):
    """A client raised: the text names client, round and moment and ends with what is wrong, or with the traceback."""


class WorkerLost(Exception):
    """A worker process died and could not be replaced."""


def one_line(error: BaseException) -> str:
    """Return an exception's text in one line; of a text that ends with a traceback, its first and its last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines) == 1 or not isinstance(error, ClientFailed) else f"{lines[0]} {lines[-1].strip()}"


def _tidy(text: str) -> str:
    """Return a text in which nothing moves the cursor and nothing is longer than a line or two."""
    printable = "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
    for long in _LONG:
        printable = long.sub(lambda found: f"{found[0][:_HEAD]}…{found[0][-1]}", printable)
    return printable
