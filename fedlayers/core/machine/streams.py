"""Standard output and error that may be closed at any time: a program that nobody listens to any more goes on."""

import io
import os
import sys
from contextlib import suppress
from typing import IO, cast

# Whether something written was lost because nobody reads it any more.
_gone = False


class _Patient(io.RawIOBase):
    """Writes to a descriptor; what cannot be written (`| head -1`, a closed terminal, a full disk) is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        """Write what can be written and claim the rest."""
        global _gone  # noqa: PLW0603
        size = len(data)
        try:
            return os.write(self._descriptor, data)
        except OSError:
            _gone = True
            return size


def keep_streams() -> None:
    """Let this process outlive its standard output and error; call before anything holds on to them."""
    for number in (0, 1, 2):
        # A file that is opened later must not get the number of a stream that was closed from the beginning.
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _kept(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _kept(sys.stderr, sys.__stderr__, 2)


def output_is_gone() -> bool:
    """Say whether something was written that nobody reads any more."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    return _gone


def _kept(stream: "IO[str] | None", original: "IO[str] | None", number: int) -> "IO[str]":
    """Return a stream that drops what cannot be written, unless somebody (a notebook, a test) has put theirs there."""
    if stream is not None and stream is not original:
        return stream
    buffer = io.BufferedWriter(cast(io.RawIOBase, _Patient(number)))
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(buffer, errors="backslashreplace", line_buffering=True)
    stream.flush()
    through = stream.write_through
    # By lines also into files and pipes: who looks wants to see what the program waits for.
    return io.TextIOWrapper(buffer, stream.encoding, stream.errors, line_buffering=True, write_through=through)
