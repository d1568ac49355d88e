"""The parts of a run's tables: which there are, whether they are as they were written, and what is in them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fedlayers.core.machine.allocation import available_cpus
from fedlayers.core.records import SCHEMAS
from fedlayers.core.seals import Seal
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import guarded
from fedlayers.runs.done import known_end
from fedlayers.runs.file_names import PART, round_of, run_files
from fedlayers.runs.integrity import problem_of
from fedlayers.runs.manifest import expected_parts
from fedlayers.runs.reading.part_rows import rows_of_part
from fedlayers.runs.reading.run_columns import constant, in_full
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import EVERYTHING, Selection

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

S = TypeVar("S")
T = TypeVar("T")
# Of so many parts it is remembered whether they are as they were written.
_KNOWN = 2**16


def parts(run: Path, table: str) -> list[Path]:
    """Return the committed parts of a table by round, ``final`` last; unfinished ones start with a dot."""
    found = [file for file in run_files(run / table, PART) if not file.unfinished]
    return [file.path for file in sorted(found, key=lambda file: (file.round is None, file.round))]


def load(run: Path, table: str, selection: Selection = EVERYTHING) -> "pa.Table":
    """Return the committed parts of a run's table as one Arrow table in the fixed schema, ``run`` filled in.

    Columns that a part was written without, by an earlier version, are null.

    Args:
        run: the run's folder.
        table: one of ``SCHEMAS``.
        selection: rows and columns; parts whose names show that they hold none of them are not opened.

    Raises:
        UserError: a part is missing or not as it was written.
    """
    import pyarrow as pa

    schema = SCHEMAS[table]
    names = selection.read(schema.names)
    files = [] if selection.lacks(schema) else _checked_parts(run, table, selection)
    if not files:
        return schema.empty_table().select(names)
    try:
        found = _rows_of(files, schema, selection)
    except (OSError, pa.ArrowException):
        for file in files:  # a run that is resumed deletes parts while we read: name a part only if it is at fault
            guarded(lambda f: rows_of_part(f, schema, schema.names, {}), file)
        raise
    if "run" not in names:
        return found
    # Parts leave the run's name to the folder, so that those of equal runs are equal.
    return found.set_column(0, schema.field("run"), constant(run.name, schema.field("run").type, found.num_rows))


def _rows_of(files: Sequence[Path], schema: "pa.Schema", selection: Selection) -> "pa.Table":
    """Return the rows of parts, in their order."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    names = selection.read(schema.names)
    if selection.has_old_names:  # what they stand for is no list of values
        every = ds.dataset([str(f) for f in files], schema=schema, format="parquet", partitioning=None)
        return every.to_table(columns=names, filter=selection.predicate(schema))
    values = {name: asked for name, asked in selection.values.items() if name in schema.names and name != "run"}
    return pa.concat_tables(_at_once(lambda file: rows_of_part(file, schema, names, values), files))


def _checked_parts(run: Path, table: str, selection: Selection) -> list[Path]:
    """Return the parts of a table that can hold what is asked for, each as it was written."""
    ends = _rounds_at_end(run)

    def wanted() -> list[Path]:
        files = [file for file in run_files(run / table, PART) if not file.unfinished]
        chosen = set(selection.of_parts({file.path: file.round for file in files}, ends))
        return [path for path in parts(run, table) if path in chosen]

    def expected() -> dict[str, Seal]:
        reached = run_facts(run).get("round")
        seals = expected_parts(run, [table], reached if isinstance(reached, int) else None)
        rounds = {name: round_of(Path(name).name) for name in seals}
        return {name: seals[name] for name in selection.of_parts(rounds, ends)}

    before = expected()
    while True:
        problems = _problems(run, before)
        if not problems:
            return wanted()
        # A run that goes on may have replaced its final parts while they were looked at.
        before, asked = expected(), before
        if before == asked:
            name, what = next(iter(problems.items()))
            raise DamagedError(run / name, what)


def _problems(run: Path, seals: Mapping[str, Seal]) -> dict[str, str]:
    """Return path in the run's folder -> what is wrong with a part, of those with which something is."""

    def problem(part: tuple[str, Seal]) -> str | None:
        with suppress(OSError):  # what is not there is named below
            if _known_whole(run / part[0], part[1], *_state(run / part[0])):
                return None
        return problem_of(run / part[0], [part[1]])

    found = zip(seals, _at_once(problem, seals.items()), strict=True)
    return {name: what for name, what in found if what}


def _at_once(function: Callable[[S], T], things: Collection[S]) -> list[T]:
    """Return what a function says of each thing, by as many threads as this process may use processors."""
    with ThreadPoolExecutor(available_cpus()) as pool:
        return list(pool.map(function, things))


def _state(path: Path) -> tuple[int, ...]:
    """Return what changes whenever a file is written, replaced or changed: the system alone sets the last time."""
    known = path.stat()
    return known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns


@lru_cache(maxsize=_KNOWN)
def _known_whole(path: Path, seal: Seal, *state: int) -> bool:
    """Say whether a file in a state is as it was written: what was read once is not read to the end for every chart."""
    return problem_of(path, [seal]) is None


def check_sizes(run: Path, committed: int | None) -> None:
    """Check that every part of a run's tables is there and as large as it was written; none is read.

    Args:
        run: the run's folder.
        committed: its last round; None if that is not known.

    Raises:
        UserError: one is not.
    """
    for name, seal in expected_parts(run, SCHEMAS, committed).items():
        if what := problem_of(run / name, [seal], contents=False):
            raise DamagedError(run / name, what)


def to_pandas(table: "pa.Table") -> "pd.DataFrame":
    """Return the table as a frame: dictionaries as categoricals, integers as nullable integers."""
    import pandas as pd
    import pyarrow as pa

    kinds = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    # Every part has dictionaries of its own; pandas' categoricals need one for the whole column.
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas(types_mapper=kinds.get)
    return frame


def _rounds_at_end(run: Path) -> set[int] | None:
    """Return the rounds that ``final`` has rows of, None if they are not known."""
    end, facts = known_end(run), run_facts(run)
    rounds = facts.get("rounds") if end and end.rounds is None and facts["status"] == "complete" else None
    last = rounds if end is None or end.rounds is None else end.rounds
    # The best round's model is evaluated again where rounds ask some of the clients.
    best = facts["best"].get("round") if facts.get("best") and (facts.get("fraction") or 1) < 1 else None
    return None if last is None else {last, *([best] if isinstance(best, int) else [])}


def load_file(file: Path, table: str, selection: Selection = EVERYTHING) -> "pa.Table":
    """Return a study's table, its metrics as a dictionary; row groups without rows of the selection are skipped."""
    import pyarrow.dataset as ds

    every = ds.dataset(str(file), format="parquet")
    names = every.schema.names
    # A column that an earlier version did not write is null in all rows.
    absent = selection.values.keys() - set(names)
    found = (
        every.schema.empty_table()
        if absent
        else every.to_table(columns=selection.read(names), filter=selection.predicate(every.schema, True))
    )
    # Metrics are plain texts in the file, so that readers can skip row groups.
    place = found.schema.get_field_index("metric")
    if place >= 0:
        found = found.set_column(place, "metric", found.column(place).dictionary_encode())
    full = in_full(found, table)
    return full.select(selection.read(full.column_names))


def schema_of(file: Path) -> "pa.Schema":
    """Return the columns of a parquet file."""
    import pyarrow.parquet as pq

    return pq.read_schema(file)
