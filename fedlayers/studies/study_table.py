"""The tables of a study: rows of its complete runs one after the other, with the run facts as columns."""

import filecmp
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fedlayers.core import VERSION
from fedlayers.core.errors import UserError
from fedlayers.core.records import SCHEMAS, typed_for_pandas
from fedlayers.core.seals import digest
from fedlayers.runs.quantities import merged, noted
from fedlayers.runs.reading.parts import load
from fedlayers.runs.reading.run_columns import FactColumns, full_columns, types_of, with_columns
from fedlayers.studies.last_aggregation import TABLES, CompleteRun, Groups

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# A column of a row group takes 0.1 kB of the footer, which readers load whole: groups this large keep it below 2 %.
ROW_GROUP_ROWS = 16_384
# Another number whenever rows, their order, row groups or columns of the tables are made in another way.
_LAYOUT = 2


class UnreadableRunError(Exception):
    """A complete run of which a part cannot be read."""

    def __init__(self, run: Path, error: UserError) -> None:
        super().__init__(str(error))
        self.run = run
        self.reason = str(error)


def made_by() -> list[str]:
    """Return what the bytes of tables depend on beside the runs."""
    import pyarrow as pa

    rows = [digest(str(SCHEMAS[name]).encode()) for name in TABLES]
    return [str(_LAYOUT), str(ROW_GROUP_ROWS), VERSION, pa.__version__, *rows]


def write_table(study: Path, name: str, runs: Mapping[Path, CompleteRun]) -> tuple[int, bool, dict[Path, Groups]]:
    """Write one table of all runs, run by run; those that the old file has as they are now are copied from it.

    A table without rows is no file, also if there was one before. The old file stays in place until the new one
    is on disk.

    Args:
        study: the study folder.
        name: of the table, one of ``TABLES``.
        runs: by folder, in the order of the table.

    Returns:
        The number of rows, whether the file has changed, and where each run's row groups are.

    Raises:
        UnreadableRunError: a run is damaged.
    """
    columns = full_columns(
        {run: one.columns for run, one in runs.items()}, {run: one.config for run, one in runs.items()}
    )
    target = study / TABLES[name]
    unfinished = target.with_name(f".{target.name}")
    try:
        with unfinished.open("wb") as sink, _opened(target, name, runs.values()) as old:
            rows, places = _write_runs(sink, name, runs, columns, old)
            sink.flush()
            os.fsync(sink.fileno())
        if not rows:
            target.unlink(missing_ok=True)
        elif target.is_file() and filecmp.cmp(unfinished, target, shallow=False):
            return rows, False, places
        else:
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return rows, rows > 0, places


@contextmanager
def _opened(table: Path, name: str, runs: Iterable[CompleteRun]) -> Iterator["pq.ParquetFile | None"]:
    """Open the old table, once for all runs (its footer is large), if there is something in it to copy."""
    import pyarrow.parquet as pq

    if not any(first < end for first, end in (one.groups.get(name, (0, 0)) for one in runs)):
        yield None
        return
    with pq.ParquetFile(table) as file:
        yield file


def _write_runs(
    sink: IO[bytes], name: str, runs: Mapping[Path, CompleteRun], columns: FactColumns, old: "pq.ParquetFile | None"
) -> tuple[int, dict[Path, Groups]]:
    """Write the rows of all runs; return their number and where each run's row groups are."""
    import pyarrow.parquet as pq

    types = types_of(columns)
    schema = typed_for_pandas(_metric_as_text(with_columns(SCHEMAS[name].empty_table(), {}, types))).schema
    schema = noted(schema, merged({run.name: one.quantities for run, one in runs.items()}))
    statistics = _columns_with_statistics(name, schema)
    rows, places = 0, dict[Path, Groups]()
    with pq.ParquetWriter(sink, schema, compression="zstd", write_statistics=statistics) as writer:
        end = 0
        for run, one in runs.items():
            first = end
            copied = _copied(old, name, one)
            for group in _read(run, name) if copied is None else copied:
                writer.write_table(with_columns(group, columns[run], types), row_group_size=group.num_rows)
                rows, end = rows + group.num_rows, end + 1
            places[run] = (first, end)
    return rows, places


def _copied(old: "pq.ParquetFile | None", name: str, one: CompleteRun) -> "list[pa.Table] | None":
    """Return the row groups that the old table has of a run as it is now, None if they are to be read from the run."""
    import pyarrow as pa

    if name not in one.groups:
        return None
    if old is None:
        return []
    try:
        return [old.read_row_group(place, columns=SCHEMAS[name].names) for place in range(*one.groups[name])]
    except (OSError, pa.ArrowException):  # damaged by what changes no times
        return None


def _read(run: Path, name: str) -> Iterator["pa.Table"]:
    """Yield a run's rows in pieces for a row group each."""
    return _row_groups(_metric_as_text(_by_metric(_loaded(run, name))))


def _loaded(run: Path, name: str) -> "pa.Table":
    try:
        return load(run, name)
    except UserError as error:
        raise UnreadableRunError(run, error) from error


def _by_metric(table: "pa.Table") -> "pa.Table":
    """Return the rows sorted by metric, otherwise in their order: readers skip what they do not ask for."""
    import numpy as np

    if not table.num_rows:
        return table
    table = table.unify_dictionaries().combine_chunks()
    metrics = table.column("metric").chunk(0)
    places = np.argsort(np.asarray(metrics.dictionary.to_pylist()))
    rank = np.empty_like(places)
    rank[places] = np.arange(len(places))
    return table.take(np.argsort(rank[metrics.indices.to_numpy()], kind="stable"))


def _metric_as_text(table: "pa.Table") -> "pa.Table":
    """Return the table with metrics as plain texts: Arrow skips no row groups by a column of dictionaries."""
    import pyarrow as pa

    place = table.schema.get_field_index("metric")
    return table.set_column(place, pa.field("metric", pa.string()), table.column(place).cast(pa.string()))


def _columns_with_statistics(name: str, schema: "pa.Schema") -> list[str]:
    """Return all columns but the measured numbers.

    The least and the largest number leave NaN out, from which DuckDB concludes that there is none: with them,
    ``isnan(value)`` holds nowhere and ``value < 1`` also for missing values (duckdb/duckdb#25521).
    """
    measured = {field.name for field in SCHEMAS[name] if field.type == "double"}
    return [column for column in schema.names if column not in measured]


def _row_groups(table: "pa.Table") -> Iterator["pa.Table"]:
    """Yield the table, which is sorted by metric, in pieces of whole metrics; all but the last are large enough."""
    first = last = 0
    for rows in table.column("metric").value_counts().field("counts").to_pylist():
        last += rows
        if last - first >= ROW_GROUP_ROWS:
            yield table.slice(first, last - first)
            first = last
    if last > first:
        yield table.slice(first)
