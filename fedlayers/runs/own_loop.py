"""A run's folder for a training loop of one's own: tables, facts and quantities, without a configuration."""

import math
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError, one_line
from fedlayers.core.layers import Layer
from fedlayers.core.machine.disk import make_folder
from fedlayers.core.quantities import Facts
from fedlayers.core.records import (
    MOMENTS,
    SCHEMAS,
    Pair,
    Record,
    Resource,
    Row,
    Spectrum,
    addressed,
    table_of,
    to_table,
)
from fedlayers.core.tables.parts import WRITER
from fedlayers.core.tables.row_folder import layer_fact
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.lock import LockedError, lock
from fedlayers.runs.quantities import FILE, save_quantities

# What can be said of a run, as in the run.json of the program's own -> of which kind it is.
_TOLD: dict[str, type] = {
    **dict.fromkeys(("dataset", "partition", "model", "algorithm"), str),
    **dict.fromkeys(("seed", "clients", "rounds"), int),
    **dict.fromkeys(("classes", "client_names"), list),
}
_SAME_FOLDER = "give a folder of its own, such as results/mine/run-2"


class Writer:
    """Writes what a training loop measures as a run's folder, which figures, report, tables and studies read.

    A round's rows are added, then its end makes them count: they are on the disk then, as a part of each table. Leaving
    the block, or :meth:`close`, makes the run complete; an exception makes it failed, with the rounds it had.

    Args:
        folder: ``results/<study>/<run>``, of which there is nothing yet.
        quantities: how to read the values; what is not stated has no unit.
        layers: the model's layers in order, by name or as :func:`fedlayers.core.layers.layers_of` gives them.
        told: what figures and studies call the run by: ``dataset``, ``partition``, ``model``, ``algorithm``, ``seed``,
            ``clients`` and ``rounds`` (how many there are to be), ``classes`` and ``client_names``.

    Raises:
        UserError: there is a run in the folder, it cannot be written, or something else is told.

    Examples:
        >>> import fedlayers
        >>> gap = fedlayers.Facts("gap", "nat", 0.0, 10.0, "lower", "own definition")
        >>> with fedlayers.Writer("results/mine/run-1", quantities=[gap], layers=["fc1"], algorithm="mine") as writer:
        ...     for number in range(1, 4):
        ...         writer.add(fedlayers.Record("gap", 1 / number, layer="fc1", client=0))
        ...         writer.end_round()
        >>> fedlayers.read("results/mine").records["value"].round(2).tolist()
        [1.0, 0.5, 0.33]
    """

    def __init__(
        self, folder: str | Path, *, quantities: Iterable[Facts] = (), layers: Sequence[str | Layer] = (), **told: Any
    ) -> None:
        for key, value in told.items():
            kind = _TOLD.get(key)
            if kind is None:
                raise UserError(f"Writer can be told {', '.join(_TOLD)}, got {key}")
            check(isinstance(value, kind) and not isinstance(value, bool), key, f"of type {kind.__name__}", value)
        path = Path(folder).expanduser()
        if (path / "run.json").exists():
            raise UserError(f"{path} holds a run already: {_SAME_FOLDER}")
        for table in SCHEMAS:
            make_folder(path / table)
        self._folder, self._stack = RunFolder(path), ExitStack()
        try:
            self._stack.enter_context(lock(path))
        except LockedError as error:
            raise UserError(f"{path} is being written by another process ({error}): {_SAME_FOLDER}") from None
        self._began, self._last, self._rows = time.perf_counter(), None, list[Row]()
        self._places = {layer if isinstance(layer, str) else layer.name: at for at, layer in enumerate(layers)}
        self._folder.manifest.begin({}, 0)
        self._folder.write_facts(
            {
                "run": path.name,
                "study": path.absolute().parent.name,
                "written_by": WRITER,
                **told,
                "layers": [layer_fact(at, layer) for at, layer in enumerate(layers)],
                "files": {FILE: save_quantities(path, quantities)},
                "status": "running",
                "reason": None,
            }
        )

    _last: int | None

    def add(self, *rows: Row) -> None:
        """Add rows of the round that is under way.

        What a row leaves open is filled in: the round, the moment ``after_local``, owner and model (``client`` and
        ``personal`` where there is a client, else ``server`` and ``global``) and the layer's place. A value that is
        None, NaN or infinite is missing.

        Raises:
            UserError: it is no row, its value no number, of no moment, or of a layer that was not named.
        """
        for row in rows:
            if not isinstance(row, Record | Pair | Spectrum | Resource):
                raise UserError(f"add takes Record, Pair, Spectrum and Resource, got {type(row).__name__}")
            owner, model = ("server", "global") if row.client is None else ("client", "personal")
            [full] = addressed([row], owner=owner, model=model, moment="after_local")
            check(full.moment in MOMENTS, "moment of a row", f"one of {', '.join(MOMENTS)}", full.moment)
            self._rows.append(self._placed(_valued(full)))

    def end_round(self, number: int | None = None) -> None:
        """Write the rows of a round: they count from now on.

        Args:
            number: of the round, after those before; the next one if not given, 1 for the first.

        Raises:
            UserError: the number is not after the last one, a row is of another round, or the folder cannot be written.
        """
        last = self._last
        number = (last or 0) + 1 if number is None else number
        least = 0 if last is None else last + 1
        check(number >= least, "number of the round", f"{least} or more", number)
        for row in self._rows:
            check(row.round in (None, number), "round of a row", f"{number}, the round that ends, or None", row.round)
        rows, self._rows = addressed(self._rows, round=number), []
        tables = {name: [row for row in rows if table_of(row) == name] for name in map(table_of, rows)}
        pieces = {name: [to_table(name, mine)] for name, mine in tables.items()}
        self._folder.write_part(f"round={number:06d}", pieces)
        self._folder.manifest.close_round(number)
        self._last = number
        self._note(round=number)

    def close(self) -> None:
        """Make the run complete; rows that were added since the last round's end become a round."""
        if self._rows:
            self.end_round()
        self._note(status="complete", rounds=self._last or 0)
        self._folder.finish(self._last or 0, time.perf_counter() - self._began)
        self._stack.close()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the run, or note why it failed."""
        if error is None:
            self.close()
            return
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        self._note(status="stopped" if stopped else "failed", reason=one_line(error))
        self._stack.close()

    def _note(self, **facts: Any) -> None:
        wall = {"wall_s": time.perf_counter() - self._began}
        self._folder.write_facts({**self._folder.facts(), **wall, **facts})

    def _placed(self, row: Row) -> Row:
        if row.layer is None or row.layer_index is not None:
            return row
        if row.layer not in self._places:
            known = ", ".join(self._places) or "none"
            raise UserError(f"layer of a row must be one of layers={known}, or come with layer_index, got {row.layer}")
        return replace(row, layer_index=self._places[row.layer])


def _valued(row: Row) -> Row:
    """Return a row whose value is a finite number, or missing with a reason."""
    if isinstance(row, Spectrum):
        return row
    value = math.nan if row.value is None else row.value
    number = isinstance(value, Real) and not isinstance(value, bool)
    check(number, f"value of {row.metric if isinstance(row, Record) else 'a row'}", "a number, or None", value)
    if not isinstance(row, Record) or row.status != "ok" or math.isfinite(value):
        return row
    return replace(row, value=math.nan, status="missing", reason=row.reason or "the value is not finite")
