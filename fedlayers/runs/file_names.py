"""The names of the files that a run writes: what is called otherwise in its folders is left alone and never read."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PADDED = r"(?P<round>\d{6}|[1-9]\d{6,})"
_PLAIN = r"(?P<round>0|[1-9]\d*)"
# Parts of tables, in records/, pairs/, spectra/ and resources/.
PART = rf"(?:round={_PADDED}|final)\.parquet"
# Models, in snapshots/.
SNAPSHOT = rf"(?:(?:server|client\d+)@{_PLAIN}|best)\.safetensors"
# The server's state and the clients', in state/.
SERVER = rf"server@{_PLAIN}\.(?P<kind>json|safetensors)"
CLIENT = rf"(?P<client>0|[1-9]\d*)@{_PLAIN}"
# What metrics keep, in arrays/.
KEPT = rf"round={_PADDED}-(?P<moment>\w+)\.safetensors"


@dataclass(frozen=True)
class RunFile:
    """One file of a run.

    Attributes:
        path: where it is.
        round: the round in its name, None if there is none.
        unfinished: whether its name starts with a dot: not yet committed, or left by a killed process.
        text: the name's other parts: ``kind``, ``client`` or ``moment``.
    """

    path: Path
    round: int | None
    unfinished: bool
    text: str


def round_of(part: str) -> int | None:
    """Return the round of a part of a table from its name, None for ``final``."""
    match = re.fullmatch(PART, part)
    number = match["round"] if match else None
    return None if number is None else int(number)


def snapshot_of(name: str) -> tuple[int, str] | None:
    """Return round and owner (``server``, or a client's number) of a model from its name, None for the best one."""
    match = re.fullmatch(SNAPSHOT, name)
    if match is None or match["round"] is None:
        return None
    return int(match["round"]), name.partition("@")[0].removeprefix("client")


def rounds_of(folder: Path, names: str) -> dict[str, list[int]]:
    """Return which rounds the finished files in a folder are of, ascending, by the names' other part.

    Args:
        folder: one of the folders in a run's folder.
        names: the pattern of their names, one of this module's.
    """
    found: dict[str, list[int]] = {}
    for file in run_files(folder, names):
        if not file.unfinished and file.round is not None:
            found.setdefault(file.text, []).append(file.round)
    return {text: sorted(rounds) for text, rounds in found.items()}


def drop_after(folder: Path, names: str, last: int) -> None:
    """Delete the files in a folder that are of a round later than the last one, or unfinished."""
    for file in run_files(folder, names):
        if file.unfinished or (file.round or 0) > last:
            file.path.unlink()


def run_files(folder: Path, names: str) -> Iterator[RunFile]:
    """Yield the files in a folder that are called as a run calls them; nothing if there is no such folder.

    Args:
        folder: one of the folders in a run's folder.
        names: the pattern of their names, one of this module's.
    """
    if not folder.is_dir():
        return
    # A writer may give its unfinished files an ending of their own.
    finished, unfinished = re.compile(names), re.compile(rf"\.{names}(?:\.\w+)?")
    with os.scandir(folder) as entries:
        for entry in entries:
            match = finished.fullmatch(entry.name) or unfinished.fullmatch(entry.name)
            if match and entry.is_file():
                groups = match.groupdict()
                number = groups.pop("round", None)
                yield RunFile(
                    Path(entry.path),
                    None if number is None else int(number),
                    entry.name.startswith("."),
                    next(iter(groups.values()), ""),
                )
