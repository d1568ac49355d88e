"""Reading files that may be damaged: they are named, and of several runs the others are read."""

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from fedlayers.core.errors import UserError

T = TypeVar("T")
# What to do about a file that a run writes again whenever it is not there.
WRITTEN_ANEW = "restore it from a copy, or delete it and start the same command again, which writes it anew"


class TableWarning(UserWarning):
    """What a reader of several runs should know; commands tell it in a plain line."""


class DamagedRunWarning(TableWarning):
    """A run of a study is left out because a file of it cannot be read; the text says which."""


def readable(reader: Callable[[Path], T], runs: Iterable[Path], several: bool = True) -> dict[Path, T]:
    """Return what a reader makes of each run; of several, the damaged ones are told and left out.

    Args:
        reader: raises UserError for a run of which a file cannot be read.
        runs: the run folders.
        several: whether the others are of use without a damaged one.

    Raises:
        UserError: a run is damaged, and it is the only one, or no other can be read either.
    """
    found: dict[Path, T] = {}
    damaged: list[UserError] = []
    for run in runs:
        try:
            found[run] = reader(run)
        except UserError as error:
            if not several:
                raise
            damaged.append(error)
            warnings.warn(f"{run.name} is left out: {error}", DamagedRunWarning, stacklevel=3)
    if damaged and not found:
        raise damaged[0]
    return found


def guarded(
    reader: Callable[[Path], Any], file: Path, way_on: str = "restore it, or start its run again with force=true"
) -> Any:
    """Return ``reader(file)``; a file that cannot be read becomes a UserError that names it and says what to do."""
    try:
        return reader(file)
    except FileNotFoundError:
        raise UserError(f"there is no {file}: read the run or study folder instead") from None
    except Exception as error:  # every format has exceptions of its own
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{file} cannot be read ({cause}): {way_on}") from error
