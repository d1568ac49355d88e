"""What all commands share: mistakes, signals, disks and closed pipes are answered in one way."""

import sys
from collections.abc import Callable
from pathlib import Path

from fedlayers.disk import disk_errors
from fedlayers.errors import UserError
from fedlayers.signals import last_signal, signals_answered
from fedlayers.streams import keep_streams


def carried_out(work: Callable[[], int]) -> int:
    """Do a command's work and return the exit code: its own, 1 after a mistake, 128 and the signal's number if stopped.

    Args:
        work: returns an exit code; raises UserError for what is told in one sentence.
    """
    keep_streams()
    try:
        with signals_answered(), disk_errors(Path(), of_a_run=False):
            return work()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + (last_signal() or 2)
