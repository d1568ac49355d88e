"""A process that does slow work for the service, one piece after the other; it can be ended at any moment."""

import logging
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa

from fedlayers.core.errors import UserError

_LOOK_S = 0.05
_CLOSED = (BrokenPipeError, ConnectionResetError)
Progress = Callable[[float | None, str], None]
log = logging.getLogger(__name__)


class Cancelled(Exception):
    """The work was stopped, and its process with it."""


@dataclass(frozen=True)
class Asked:
    """What is done.

    Attributes:
        work: ``module:function``, which takes the run's folder, the settings and what is told of progress, and returns
            tables by the names of their parts.
        run: the run's folder.
        settings: what else it takes, as JSON has it.
    """

    work: str
    run: Path
    settings: Mapping[str, Any]


class SlowWorker:
    """A process that has imported what it needs."""

    def __init__(self) -> None:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        self._line = ours
        # It ends with the service, or when the service's end of the line is closed.
        self._process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def lives(self) -> bool:
        """Whether it can take further work."""
        return self._process.is_alive()

    def carry_out(self, asked: Asked, progress: Progress, cancel: Event) -> Mapping[str, pa.Table]:
        """Return what the work has found, by parts.

        Args:
            asked: what is done.
            progress: told how far it is, from 0 to 1, and what it does.
            cancel: set to stop it.

        Raises:
            Cancelled: it was stopped.
            UserError: it cannot be done, or its process ended.
        """
        try:
            self._line.send(asked)
            while True:
                while not self._line.poll(_LOOK_S):
                    if cancel.is_set():
                        self._end()
                        raise Cancelled
                kind, content = self._line.recv()
                if kind == "progress":
                    progress(*content)
                elif kind == "refused":
                    raise UserError(content)
                else:
                    return {part: pa.ipc.open_stream(data).read_all() for part, data in content.items()}
        except (EOFError, *_CLOSED):
            self._end()
            raise UserError(
                "the process that computed this has ended (out of memory?): ask for less, such as fewer examples"
            ) from None

    def _end(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(line: Connection) -> None:
    """Do what is asked until the line is closed."""
    # Ctrl-C reaches all processes of a terminal; the service ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, *_CLOSED):
        while True:
            asked = line.recv()
            line.send(_answer(asked, lambda share, message: line.send(("progress", (share, message)))))


def _answer(asked: Asked, progress: Progress) -> tuple[str, Any]:
    module, _, name = asked.work.partition(":")
    try:
        found = getattr(import_module(module), name)(asked.run, asked.settings, progress)
    except UserError as error:
        return "refused", str(error)
    except _CLOSED:  # nobody listens any more
        raise
    except Exception as error:
        # Of a run of somebody's own: its model or data may fail in any way.
        log.warning("%s of %s failed:\n%s", name, asked.run.name, traceback.format_exc())
        return "refused", f"{name} of run {asked.run.name} failed ({type(error).__name__}: {error}); the log has more"
    return "found", {part: _stream(table) for part, table in found.items()}


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found
