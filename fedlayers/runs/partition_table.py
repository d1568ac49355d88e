"""``partition.parquet``: how many examples of each class every client has. A run writes it before its rounds.

What a client does not hold has no row, but for the first client.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.config.old_names import new_columns
from fedlayers.core.disk import read_json
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import WRITTEN_ANEW, guarded

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# What a client has a number of examples of.
KIND = ("scope", "label")
# Who has written a run of a training loop of one's own, which has neither a partition nor a configuration.
WRITER = "fedlayers.Writer"
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


def with_zeros(counts: "pd.DataFrame") -> "pd.DataFrame":
    """Return the table with a row for every client, scope and label: 0 where the file has none.

    Args:
        counts: as the file has it; its first client has all rows.
    """
    import pandas as pd

    clients = counts.drop_duplicates("client")
    kinds = counts[counts["client"] == counts["client"].iloc[0]]
    if len(clients) * len(kinds) == len(counts):
        return counts
    of_client = [name for name in counts if name not in (*KIND, "label_name", "examples")]
    scopes = [kinds[["scope"]].drop_duplicates(), clients[of_client], kinds[["label", "label_name"]].drop_duplicates()]
    whole = scopes[0].merge(scopes[1], how="cross").merge(scopes[2], how="cross")
    held = whole.merge(counts[["client", *KIND, "examples"]], on=["client", *KIND], how="left", sort=False)
    return pd.DataFrame(held.fillna({"examples": 0}).astype({"examples": "int64"})[list(counts)])


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
    if facts.get("written_by") == WRITER:
        return False
    if facts.get("stretches") or facts.get("round") is not None:
        raise DamagedError(path, "is missing", _WAY_ON)
    return False
