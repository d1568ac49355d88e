"""A part of a run's tables on the disk, and the file that says that a run is finished."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fedlayers.core.machine.disk import disk_errors, fsync, write_text
from fedlayers.core.records import sort, typed_for_pandas
from fedlayers.core.seals import Seal, seal_of

# Who has written a run of a training loop of one's own, which has neither a partition nor a configuration.
WRITER = "fedlayers.Writer"


def write_unseen(folder: Path, part: str, pieces: Sequence[pa.Table]) -> Seal:
    """Write a part of a table under a name that nobody reads yet, :func:`show_part` gives it its own.

    Args:
        folder: of the table, whose name is the table's, such as ``records``.
        part: such as ``round=000012``.
        pieces: its rows, in any order; one table or more.
    """
    table = typed_for_pandas(sort(folder.name, pa.concat_tables(pieces)))
    scratch = folder / f".{part}.parquet"
    with disk_errors(scratch):
        pq.write_table(table, scratch, compression="zstd")
        fsync(scratch)
        return seal_of(scratch)


def show_part(folder: Path, part: str) -> None:
    """Give a part that was written its name, by which it is read from now on."""
    path = folder / f"{part}.parquet"
    with disk_errors(path):
        path.with_name(f".{part}.parquet").replace(path)


def write_done(run: Path, rounds: int, wall_s: float, files: Mapping[str, Seal]) -> None:
    """Mark a run as finished after so many rounds; ``files`` are its ``final`` parts."""
    content = {"rounds": rounds, "wall_s": wall_s, "files": dict(sorted(files.items()))}
    write_text(run / "done.json", json.dumps(content))
