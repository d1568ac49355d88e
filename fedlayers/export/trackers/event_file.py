"""An event file as TensorBoard reads it, written here and not in a thread of a library: what fails is raised."""

import os
import socket
import time
from io import BytesIO
from pathlib import Path
from typing import Any

PATTERN = "events.out.tfevents.*"
_VERSION = "brain.Event:2"


def file_name() -> str:
    """Return a name for an event file: of the files in a folder TensorBoard reads one after another, by time."""
    return PATTERN.replace("*", f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0")


class EventFile:
    """Events in the order in which they are added; they wait in memory until :meth:`flush`.

    Args:
        path: the file, which is written anew. What a TensorBoard that is open has read before is to be forgotten.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        # Without a buffer nothing is left to be written when it is closed.
        self._file = path.open("wb", buffering=0)
        self._waiting = BytesIO()
        self._records: Any = RecordWriter(self._waiting)
        self._event: Any = Event
        self._add(file_version=_VERSION)
        self._add(step=0, file_version=_VERSION)
        self._add(step=0, session_log=SessionLog(status=SessionLog.START))

    def add(self, summary: Any, step: int = 0) -> None:
        """Add a summary, of a step."""
        self._add(summary=summary, step=step)

    def flush(self) -> None:
        """Put on the disk what was added.

        Raises:
            OSError: it cannot be written; what was added is lost, and the file of no use.
        """
        rest = memoryview(self._waiting.getvalue())
        self._waiting.seek(0)
        self._waiting.truncate()
        while rest:
            rest = rest[self._file.write(rest) or 0 :]

    def close(self) -> None:
        """Close the file; what was not flushed is not written."""
        self._file.close()

    def _add(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
