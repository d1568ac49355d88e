"""The parts of a run's tables: which there are, whether they are as they were written, and what is in them."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedlayers.core.records import SCHEMAS
from fedlayers.core.seals import Seal
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import guarded
from fedlayers.runs.file_names import PART, run_files
from fedlayers.runs.integrity import problem_of
from fedlayers.runs.manifest import expected_parts
from fedlayers.runs.reading.run_columns import constant
from fedlayers.runs.reading.run_facts import run_facts

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def parts(run: Path, table: str) -> list[Path]:
    """Return the committed parts of a table by round, ``final`` last; unfinished ones start with a dot."""
    found = [file for file in run_files(run / table, PART) if not file.unfinished]
    return [file.path for file in sorted(found, key=lambda file: (file.round is None, file.round))]


def load(run: Path, table: str) -> "pa.Table":
    """Return all committed parts of a run's table as one Arrow table in the fixed schema, ``run`` filled in.

    Columns that a part was written without, by an earlier version, are null.

    Raises:
        UserError: a part is missing or not as it was written.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    files = _checked_parts(run, table)
    schema = SCHEMAS[table]
    if not files:
        return schema.empty_table()
    try:
        found = ds.dataset([str(f) for f in files], schema=schema, format="parquet", partitioning=None).to_table()
    except (OSError, pa.ArrowException):
        for file in files:  # a run that is resumed deletes parts while we read: name a part only if it is at fault
            guarded(lambda f: ds.dataset(str(f), schema=schema, format="parquet").to_table(), file)
        raise
    # Parts leave the run's name to the folder, so that those of equal runs are equal.
    return found.set_column(0, schema.field("run"), constant(run.name, schema.field("run").type, found.num_rows))


def _checked_parts(run: Path, table: str) -> list[Path]:
    """Return the parts of a table, each as it was written."""

    def expected() -> dict[str, Seal]:
        reached = run_facts(run).get("round")
        return expected_parts(run, table, reached if isinstance(reached, int) else None)

    before = expected()
    while True:
        problems = {name: what for name, seal in before.items() if (what := problem_of(run / table / name, [seal]))}
        if not problems:
            return parts(run, table)
        # A run that goes on may have replaced its final parts while they were looked at.
        before, asked = expected(), before
        if before == asked:
            name, what = next(iter(problems.items()))
            raise DamagedError(run / table / name, what)


def to_pandas(table: "pa.Table") -> "pd.DataFrame":
    """Return the table as a frame: dictionaries as categoricals, integers as nullable integers."""
    import pandas as pd
    import pyarrow as pa

    kinds = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    # Every part has dictionaries of its own; pandas' categoricals need one for the whole column.
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas(types_mapper=kinds.get)
    return frame
