"""What all commands share: mistakes, signals, disks and closed pipes are answered in one way."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors
from fedlayers.core.machine.signals import last_signal, signals_answered
from fedlayers.core.machine.streams import keep_streams
from fedlayers.runs.damage import TableWarning


def carried_out(work: Callable[[], int]) -> int:
    """Do a command's work and return the exit code: its own, 1 after a mistake, 128 and the signal's number if stopped.

    Args:
        work: returns an exit code; raises UserError for what is told in one sentence.
    """
    keep_streams()
    try:
        with signals_answered(), disk_errors(Path(), of_a_run=False), damage_told():
            return work()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + (last_signal() or 2)


@contextmanager
def damage_told() -> Iterator[None]:
    """Tell once, in a plain line on standard error, of each damaged run that is left out, and of runs that clash."""
    told: set[str] = set()

    with warnings.catch_warnings():
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if not issubclass(category, TableWarning):
                before(message, category, *where)
            elif str(message) not in told:
                told.add(str(message))
                print(f"warning: {message}", file=sys.stderr)

        warnings.simplefilter("always", TableWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield
