"""``partition.parquet``: how many examples of each class every client has. A run writes it before its rounds.

What a client does not hold has no row, but for the first client.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.config.schema.old_names import new_columns
from fedlayers.core.machine.disk import read_json
from fedlayers.core.tables.parts import WRITER
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import WRITTEN_ANEW, guarded

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# What a client has a number of examples of.
KIND = ("scope", "label")
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
    import numpy as np
    import pandas as pd

    clients = pd.factorize(counts["client"], use_na_sentinel=False)[0]
    every = counts[clients == 0]
    if counts.empty or (clients.max() + 1) * len(every) == len(counts):
        return counts
    scopes, labels = (every[name].unique() for name in KIND)
    shape = len(scopes), int(clients.max()) + 1, len(labels)
    held = np.zeros(shape, np.int64)
    places = (pd.Index(scopes).get_indexer(counts["scope"]), clients, pd.Index(labels).get_indexer(counts["label"]))
    held[places] = counts["examples"]
    scope, client, label = (places.ravel() for places in np.indices(shape))
    # Of each client a row that says who it is, of each label one that says what it is called.
    whole: pd.DataFrame = counts.drop_duplicates("client").iloc[client].reset_index(drop=True)
    names = every.drop_duplicates("label")["label_name"].to_numpy()[label]
    whole = whole.assign(scope=scopes[scope], label=labels[label], label_name=names, examples=held.ravel())
    return whole


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
