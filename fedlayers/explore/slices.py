"""A run's tables kept in memory, column by column as they are asked for: rows are found by value in milliseconds."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fedlayers.core.errors import UserError
from fedlayers.core.records import SCHEMAS
from fedlayers.explore.calm import Calm
from fedlayers.explore.remembered import state_of
from fedlayers.runs.reading.parts import load
from fedlayers.runs.reading.selection import Selection, Value, refused

Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
T = TypeVar("T")

# By what rows are chosen; other columns are only shown.
CHOOSABLE = (
    "metric", "round", "moment", "owner", "model", "client", "layer", "layer_index", "subject", "step", "variant",
    "scope", "status", "other", "other_round", "other_layer", "unit",
)  # fmt: skip
_CHOSEN_BY_CHARTS = ("round", "client", "layer")
_BYTES = 4 * 2**30
# A table of more bytes in its files takes seconds until it is in memory.
_LARGE_BYTES = 16 * 2**20
# Answers from files that are kept meanwhile.
_FROM_FILES = 8
_ABSENT = -1
# So many columns are read beforehand before the next look whether somebody asks.
_AT_ONCE = 6
# Sorting by counting needs few values.
_FEW = 2**15


class Changed(Exception):
    """The run has gone on while its columns were read."""


class Indexed:
    """A table whose rows are found by the values of columns.

    Rows are ordered by metric once, so that a slice of one metric looks at no other's rows.

    Args:
        columns: the names that there are, in order.
        read: returns some of the columns.
    """

    def __init__(self, columns: Iterable[str], read: Callable[[Sequence[str]], pa.Table]) -> None:
        self.columns = tuple(columns)
        self._read, self._lock = read, threading.RLock()
        self._held: dict[str, pa.Array] = {}
        self._codes: dict[str, Codes] = {}
        self._words: dict[str, dict[Value, int]] = {}
        metrics = self._encoded("metric")
        few = metrics.max(initial=0) < _FEW
        self._order = np.argsort(metrics.astype(np.int16) if few else metrics, kind="stable")
        self._ends = np.cumsum(np.bincount(metrics + 1, minlength=2))

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        held = [*self._held.values(), *self._codes.values(), self._order]
        return sum(column.nbytes for column in held)

    @property
    def choosable(self) -> list[str]:
        """The columns by which rows can be chosen."""
        return [name for name in CHOOSABLE if name in self.columns]

    def rows(self, values: Mapping[str, Sequence[Value]]) -> Rows:
        """Return the numbers of the rows that have one of the values in each of the columns, ascending.

        Args:
            values: column -> the values that are asked for.

        Raises:
            UserError: no row of the table has a value.
        """
        with self._lock:
            self._hold(values)
            codes = {column: self._asked(column, asked) for column, asked in values.items()}
            spans = [slice(None)]
            if (metrics := codes.pop("metric", None)) is not None:
                spans = [slice(self._ends[code], self._ends[code + 1]) for code in metrics]
            found = [self._order[span][self._fit(codes, span)] for span in spans]
            return np.sort(np.concatenate(found))

    def take(self, rows: Rows, columns: Sequence[str]) -> pa.Table:
        """Return some rows and columns."""
        with self._lock:
            self._hold(columns)
            held = {name: self._held[name] for name in columns}
        return pa.table({name: column.take(rows) for name, column in held.items()})

    def hold(self, columns: Sequence[str]) -> None:
        """Read those of some columns that there are before they are asked for, and order what rows are chosen by."""
        there = [name for name in columns if name in self.columns]
        with self._lock:
            self._hold(there)
            for column in there:
                if column in _CHOSEN_BY_CHARTS:
                    self._known(column)

    def all(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of all rows."""
        with self._lock:
            self._hold(columns)
            return pa.table({name: self._held[name] for name in columns})

    def values(self, column: str) -> list[Value]:
        """Return the values that rows have in a column, ascending."""
        with self._lock:
            return sorted(self._known(column), key=lambda value: (isinstance(value, str), value))

    def _fit(self, codes: Mapping[str, Sequence[int]], span: slice) -> npt.NDArray[np.bool_]:
        """Say which rows of a span, as ordered by metric, have one of the codes in each of the columns."""
        fit = np.ones(len(self._order[span]), bool)
        for column, wanted in codes.items():
            held = self._codes[column][span]
            fit &= held == wanted[0] if len(wanted) == 1 else np.isin(held, wanted)
        return fit

    def _asked(self, column: str, asked: Sequence[Value]) -> list[int]:
        known = self._known(column)
        for value in asked:
            if value not in known:
                raise refused(column, value, known)
        return sorted({known[value] for value in asked})

    def _hold(self, columns: Iterable[str]) -> None:
        """Read those columns that are not in memory, all at once."""
        wanted = [name for name in dict.fromkeys(columns) if name not in self._held]
        if not wanted:
            return
        found = self._read(wanted).unify_dictionaries()
        if self._held and found.num_rows != len(self._order):
            raise Changed
        for name in wanted:
            chunks = found.column(name).combine_chunks()
            # Of no rows at all there is no chunk.
            self._held[name] = chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks

    def _known(self, column: str) -> Mapping[Value, int]:
        """Return the code of each value that rows have in a column."""
        if column not in self._words:
            codes = self._encoded(column)
            if column != "metric":
                self._codes[column] = codes[self._order]
        return self._words[column]

    def _encoded(self, column: str) -> Codes:
        """Return a whole number per row that stands for its value, -1 where it has none."""
        self._hold([column])
        held = self._held[column]
        held = held if pa.types.is_dictionary(held.type) else held.dictionary_encode()
        codes: Codes = held.indices.fill_null(_ABSENT).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        there = np.bincount(codes + 1, minlength=len(held.dictionary) + 1)[1:]
        self._words[column] = {word: code for code, word in enumerate(held.dictionary.to_pylist()) if there[code]}
        return codes


class TablesInMemory:
    """The tables of runs that were looked at lately, read anew where a run has gone on.

    Args:
        limit: how many bytes of Arrow tables are kept; the one that was looked at longest ago goes first.
        calm: what is read beforehand waits for it.
    """

    def __init__(self, limit: int = _BYTES, calm: Calm | None = None) -> None:
        self._limit = limit
        self.calm = calm or Calm()
        self._kept: OrderedDict[tuple[Path, str], tuple[object, Indexed]] = OrderedDict()
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()
        self._early: OrderedDict[object, tuple[object, pa.Table]] = OrderedDict()
        self._metrics: dict[tuple[Path, str], tuple[object, frozenset[Value]]] = {}
        # Which states of large tables are being read, or were.
        self._begun: dict[tuple[Path, str], object] = {}
        self._whole: dict[tuple[Path, str], object] = {}

    def table(self, run: Path, name: str) -> Indexed:
        """Return a table of a run as its committed parts hold it now.

        Args:
            run: the run's folder.
            name: ``records``, ``pairs``, ``spectra`` or ``resources``.

        Raises:
            UserError: a part is missing or not as it was written.
        """
        key = (run, name)
        # Several who ask for one table wait for one reading.
        with self._own(key):
            state = state_of(run, name)
            with self._lock:
                kept = self._kept.get(key)
                if kept is not None and kept[0] == state:
                    self._kept.move_to_end(key)
                    return kept[1]
            found = Indexed(SCHEMAS[name].names, lambda columns: _read(run, name, columns, state))
            with self._lock:
                self._kept[key] = (state, found)
                self._kept.move_to_end(key)
                self._shrink()
            return found

    def from_files(self, run: Path, name: str, selection: Selection, columns: Sequence[str]) -> pa.Table | None:
        """Return rows of a large table that is not in memory yet, and begin to read it; None of any other table.

        Args:
            run: the run's folder.
            name: of the table.
            selection: which rows are asked for, and which columns.
            columns: those that are held once it is in memory.
        """
        key, state = (run, name), state_of(run, name)
        if self._whole.get(key) == state or _bytes_of(run, name) < _LARGE_BYTES:
            return None
        question = key, str(selection)
        with self._own(question):
            kept, found = self._early.get(question, (None, None))
            if kept != state:
                found = self._from_files(run, name, selection, state)
                with self._lock:
                    self._early[question] = state, found
                    while len(self._early) > _FROM_FILES:
                        self._early.popitem(last=False)
        with self._lock:
            if self._begun.get(key) == state:
                return found
            self._begun[key] = state
        some = [columns[first : first + _AT_ONCE] for first in range(0, len(columns), _AT_ONCE)]
        self.calm.later([*(partial(self._hold, run, name, these) for these in some), partial(self._held, key, state)])
        return found

    def _from_files(self, run: Path, name: str, selection: Selection, state: object) -> pa.Table:
        """Return rows from the files, without a look where a table is known to have none of the metrics asked for."""
        schema, asked = SCHEMAS[name], selection.values.get("metric")
        known_of, metrics = self._metrics.get((run, name), (None, frozenset[Value]()))
        if asked is not None and known_of == state and metrics.isdisjoint(asked):
            return schema.empty_table().select(selection.read(schema.names))
        found = load(run, name, selection)
        if not selection.values and "metric" in found.column_names:
            self._metrics[run, name] = state, frozenset(found.column("metric").unique().to_pylist())
        return found

    def _hold(self, run: Path, name: str, columns: Sequence[str]) -> None:
        """Take columns of a table into memory."""
        with suppress(UserError):
            self.asked(run, name, lambda held: held.hold(columns))

    def _held(self, key: tuple[Path, str], state: object) -> None:
        with self._lock:
            self._whole[key] = state
            self._early.clear()

    def _own(self, what: object) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(what, threading.Lock())

    def asked(self, run: Path, name: str, question: Callable[[Indexed], T]) -> T:
        """Return what a table answers, asked again where the run goes on while its columns are read.

        Args:
            run: the run's folder.
            name: of the table.
            question: asks the table.
        """
        while True:
            try:
                return question(self.table(run, name))
            except Changed:
                continue

    def _shrink(self) -> None:
        while len(self._kept) > 1 and sum(held.nbytes for _, held in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)


def _bytes_of(run: Path, table: str) -> int:
    folder = run / table
    return sum(part.stat().st_size for part in folder.iterdir()) if folder.is_dir() else 0


def _read(run: Path, table: str, columns: Sequence[str], state: object) -> pa.Table:
    found = load(run, table, Selection(columns=tuple(columns)))
    if state_of(run, table) != state:
        raise Changed
    return found
