"""One table for a study: all complete runs' records with the run facts as columns."""

import filecmp
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from fedlayers.core.disk import disk_errors
from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.core.records import SCHEMAS, typed_for_pandas
from fedlayers.runs.lock import holder_of
from fedlayers.runs.partition_table import check_partition
from fedlayers.runs.quantities import check_quantities, noted, quantities_of
from fedlayers.runs.reading.parts import load
from fedlayers.runs.reading.run_columns import (
    FactColumns,
    FlatSettings,
    config_of,
    full_columns,
    types_of,
    with_columns,
)
from fedlayers.runs.reading.run_facts import run_facts, run_folders
from fedlayers.studies.expected_runs import expected_file, expected_runs

if TYPE_CHECKING:
    import pyarrow as pa

LOCK_TIMEOUT_S = 120.0
# A column of a row group takes 0.1 kB of the footer, which readers load whole: groups this large keep it below 2 %.
ROW_GROUP_ROWS = 16_384
_LISTED = 10


@dataclass(frozen=True)
class AggregateReport:
    """What a study consists of and what became of its table.

    Attributes:
        study: the study folder.
        table: ``study.parquet``, None if no run is complete.
        rows: the number of records in it.
        changed: whether the table differs from the one that was there before.
        complete: names of the runs in the table.
        unfinished: name -> ``"running, round 3/20"`` or ``"stopped, round 3/20"``.
        failed: name -> reason.
        missing: name -> overrides; expected runs that have no folder.
    """

    study: Path
    table: Path | None
    rows: int
    changed: bool
    complete: tuple[str, ...]
    unfinished: Mapping[str, str]
    failed: Mapping[str, str]
    missing: Mapping[str, str]

    @property
    def counts(self) -> str:
        """How many runs are complete, unfinished, failed and missing, in one phrase."""
        groups = {
            "complete": self.complete,
            "unfinished": self.unfinished,
            "failed": self.failed,
            "missing": self.missing,
        }
        return ", ".join(f"{len(runs)} {state}" for state, runs in groups.items() if runs or state == "complete")

    def __str__(self) -> str:
        """Return the report as text: a line of counts, and a line per run that is not in the table."""
        if self.table is None:
            return (
                f"no complete run with records in {self.study} ({self.counts}): wait for a run or start the study again"
            )
        lines = [f"{self.table}: {self.rows:,} records ({self.counts})"]
        for state in ("unfinished", "failed", "missing"):
            runs: Mapping[str, str] = getattr(self, state)
            lines += [f"  {state}: {name} ({why})" for name, why in list(runs.items())[:_LISTED]]
            if len(runs) > _LISTED:
                lines.append(f"  {state}: and {len(runs) - _LISTED} more")
        return "\n".join(lines)


def aggregate(study_dir: Path) -> AggregateReport:
    """Write ``study.parquet`` (and ``study_pairs.parquet``) of the complete runs and return what was found.

    Run by run, sorted by metric, in row groups of whole metrics with at least ``ROW_GROUP_ROWS`` rows (fewer at
    the end of a run): a reader that asks for a metric, a seed or another number of the run skips the others. The
    run facts and the configuration entries in which the runs differ are columns. Runs that are not complete are
    listed in the report, not in the table. The same runs give the same bytes, and a table that would not change
    is left untouched.

    Args:
        study_dir: ``results/<study>``.

    Raises:
        UserError: if there is no such folder, it holds no runs and expects none, ``expected.json`` cannot be read, or
            another aggregation of the study does not end.
    """
    study = Path(study_dir)
    if not study.is_dir():
        raise UserError(f"there is no folder {study}: give a study folder, such as results/main")
    if not run_folders(study) and not expected_file(study).is_file():
        raise UserError(
            f"{study} holds no runs and no expected.json: give a study folder (results/<study>), or run the study first"
        )
    try:
        with (
            disk_errors(study / "study.parquet", of_a_run=False),
            FileLock(study / ".aggregate.lock", timeout=LOCK_TIMEOUT_S),
        ):
            return _aggregate(study)
    except Timeout:
        raise UserError(
            f"another process has been aggregating {study} for over {LOCK_TIMEOUT_S:.0f} s: wait for it and try again"
        ) from None


def _aggregate(study: Path) -> AggregateReport:
    complete, unfinished, failed = _sort_out(study)
    missing = {
        name: " ".join(words)
        for name, words in expected_runs(study).items()
        if not (study / name / "run.json").is_file()
    }
    rows, changed = 0, False
    while complete:
        try:
            columns, quantities = full_columns(complete), quantities_of(list(complete))
            rows, changed = _write(study / "study.parquet", "records", columns, quantities)
            changed |= _write(study / "study_pairs.parquet", "pairs", columns, quantities)[1]
            break
        except _UnreadableRunError as damaged:
            del complete[damaged.run]
            failed[damaged.run.name] = damaged.reason
    table = study / "study.parquet" if rows and complete else None
    names = tuple(run.name for run in complete)
    return AggregateReport(study, table, rows, changed, names, unfinished, failed, missing)


class _UnreadableRunError(Exception):
    """A complete run of which a file cannot be read."""

    def __init__(self, run: Path, error: UserError) -> None:
        super().__init__(str(error))
        self.run = run
        self.reason = str(error)


def _sort_out(study: Path) -> tuple[dict[Path, FlatSettings], dict[str, str], dict[str, str]]:
    """Return the complete runs with their configuration, and name -> why of unfinished and failed ones."""
    complete: dict[Path, FlatSettings] = {}
    unfinished: dict[str, str] = {}
    failed: dict[str, str] = {}
    for run in run_folders(study):
        try:
            facts = run_facts(run)
            status = facts["status"]
            if status == "complete":
                check_partition(run)
                check_quantities(run)
                complete[run] = config_of(run)
                continue
            # A killed process cannot say so; what it leaves is "running" without a lock.
            word = "interrupted" if status == "running" and not holder_of(run) else status
        except UserError as error:
            failed[run.name] = str(error)
            continue
        if status == "failed":
            failed[run.name] = str(facts.get("reason") or "no reason given; see log.txt")
        else:
            unfinished[run.name] = f"{word}, round {facts.get('round') or 0} of {facts.get('rounds', '?')}"
    return complete, unfinished, failed


def _write(target: Path, name: str, columns: FactColumns, quantities: Quantities) -> tuple[int, bool]:
    """Write one table of all runs, run by run; return its rows and whether the file changed.

    A table without rows is no file, also if there was one before. The old file stays in place until the new one
    is on disk.
    """
    import pyarrow.parquet as pq

    types = types_of(columns)
    schema = typed_for_pandas(_metric_as_text(with_columns(SCHEMAS[name].empty_table(), {}, types))).schema
    schema = noted(schema, quantities)
    unfinished = target.with_name(f".{target.name}")
    rows = 0
    try:
        with unfinished.open("wb") as sink:
            statistics = _columns_with_statistics(name, schema)
            with pq.ParquetWriter(sink, schema, compression="zstd", write_statistics=statistics) as writer:
                for run, facts in columns.items():
                    table = _metric_as_text(with_columns(_by_metric(_loaded(run, name)), facts, types))
                    for group in _row_groups(table):
                        writer.write_table(group, row_group_size=group.num_rows)
                    rows += table.num_rows
            sink.flush()
            os.fsync(sink.fileno())
        if not rows:
            target.unlink(missing_ok=True)
            return 0, False
        if target.is_file() and filecmp.cmp(unfinished, target, shallow=False):
            return rows, False
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return rows, True


def _loaded(run: Path, name: str) -> "pa.Table":
    try:
        return load(run, name)
    except UserError as error:
        raise _UnreadableRunError(run, error) from error


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
