"""The line of Python that gives the same rows as a view of the page."""

from collections.abc import Mapping, Sequence
from pathlib import Path


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
