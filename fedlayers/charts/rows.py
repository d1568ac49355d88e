"""Rows of a table as a page shows them without a service, and the line of Python that gives the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedlayers.charts.charted import Charted
from fedlayers.runs.reading.tables import Tables

_OF_ONE_ROUND = 5


def python_line(
    run: Path,
    table: str,
    chosen: Mapping[str, Sequence[str | int]],
    columns: Sequence[str] = (),
    first: int = 0,
    last: int | None = None,
) -> str:
    """Return the line that gives some rows of a table as a frame of pandas.

    Args:
        run: the run's folder.
        table: ``records``, ``pairs``, ``spectra`` or ``resources``.
        chosen: column -> the values that rows have.
        columns: those that are wanted; empty for all.
        first: how many of the rows that were chosen are passed over.
        last: where the rows end, itself not among them; None for all.

    >>> python_line(Path("results/main/a"), "records", {"metric": ["loss"], "round": [1, 2]}, (), 100, 200)
    "fedlayers.read('results/main/a', metric='loss', round=[1, 2]).records[100:200]"
    """
    words = [f"{name}={_said(values)}" for name, values in chosen.items()]
    words += [f"columns={list(columns)!r}"] if columns else []
    part = f"[{first or ''}:{'' if last is None else last}]" if first or last is not None else ""
    return f"fedlayers.read({', '.join([repr(str(run)), *words])}).{table}{part}"


def _said(values: Sequence[str | int]) -> str:
    return repr(values[0]) if len(values) == 1 else repr(list(values))


def rows_of_last_rounds(tables: Tables, table: str, most: int, values: int) -> Charted:
    """Return all rows of a table if they are few, else those of as many of the last rounds as are few.

    Those of the last one may be five times as many.

    Args:
        tables: of one run.
        table: ``records``, ``pairs`` or ``resources``.
        most: how many rows are few.
        values: how many values there is room for.

    Returns:
        The table's columns without the run, in the table's order; facts ``total`` (how many rows the table has),
        ``rounds`` (those of which all rows are there; None if all rows are) and ``folder``, where the run lies, from
        the folder of all results on.
    """
    rows = tables.arrow(table)
    fit = values // max(rows.num_columns - 1, 1)
    most, most_of_one, rounds = min(most, fit), min(_OF_ONE_ROUND * most, fit), None
    if rows.num_rows > most:
        numbers, counts = np.unique(rows.column("round").drop_null().to_numpy(), return_counts=True)
        from_last = numbers[::-1][np.cumsum(counts[::-1]) <= most]
        rounds = sorted(from_last.tolist())
        if not rounds and len(numbers) and counts[-1] <= most_of_one:
            rounds = [int(numbers[-1])]
    kept = rows if rounds is None else rows.filter(pc.is_in(rows.column("round"), pa.array(rounds, pa.int32())))
    folder = Path(*tables.path.resolve().parts[-3:]).as_posix()
    kept = kept.drop_columns([name for name in kept.column_names if name == "run"])
    return Charted.of_table(kept, {"total": rows.num_rows, "rounds": rounds, "folder": folder})
