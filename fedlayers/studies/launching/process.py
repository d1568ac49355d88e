"""One run of a sweep as a process of this machine: ``python -m fedlayers.studies.launching.process ORDER``.

It stops at its last complete round when it is told to, and when the process that started it has ended.
"""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from fedlayers.core.machine.signals import last_signal, signals_answered
from fedlayers.core.machine.streams import keep_streams
from fedlayers.studies.launching.job import Job


def main(words: list[str]) -> int:
    """Carry out the run that the order names; return the exit code, 128 and the signal's number if it was stopped."""
    order = json.loads(words[0])
    keep_streams()
    try:
        with signals_answered():
            threading.Thread(target=_end_with_parent, daemon=True).start()
            Job(order["words"], Path(order["folder"]))()
    except KeyboardInterrupt:
        return 128 + (last_signal() or signal.SIGINT)
    return 0


def _end_with_parent() -> None:
    """Stop when the other end of standard input is closed, as it is when the process there ends."""
    with suppress(OSError):
        while os.read(0, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
