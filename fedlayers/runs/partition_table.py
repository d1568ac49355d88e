"""``partition.parquet``: how many examples of each class every client has. A run writes it before its rounds."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.config.old_names import new_columns
from fedlayers.core.disk import read_json
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import WRITTEN_ANEW, guarded

if TYPE_CHECKING:
    import pyarrow as pa

_WAY_ON = "restore it from a copy, or start the same command again, which writes it anew"


def load_partition(run: Path) -> "pa.Table | None":
    """Return the table, None if the run has not got as far as to write it.

    Raises:
        UserError: it is missing though the run has started, or cannot be read.
    """
    import pyarrow.parquet as pq

    if not _is_there(run):
        return None
    found = guarded(pq.read_table, run / "partition.parquet", _WAY_ON)
    return found.rename_columns(new_columns(found.column_names))


def check_partition(run: Path) -> None:
    """Check that the table is there if the run has started; only the end of the file is read.

    Raises:
        UserError: it is missing, or is no table.
    """
    import pyarrow.parquet as pq

    if _is_there(run):
        guarded(pq.read_metadata, run / "partition.parquet", _WAY_ON)


def _is_there(run: Path) -> bool:
    path = run / "partition.parquet"
    if path.exists():
        return True
    facts = read_json(run / "run.json", WRITTEN_ANEW)
    if facts.get("stretches") or facts.get("round") is not None:
        raise DamagedError(path, "is missing", _WAY_ON)
    return False
