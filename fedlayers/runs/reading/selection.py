"""Which rows and columns of the tables are asked for, so that the rest of a large run is not read."""

from __future__ import annotations

import numbers
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import RENAMED, Renamed, quantity_now
from fedlayers.core.records import BEST, SCHEMAS
from fedlayers.core.spelling import in_brackets
from fedlayers.runs.reading.run_columns import FACT_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

T = TypeVar("T")
Value = str | int
# Columns of runs, which their tables lack: known without a look into a table.
OF_RUNS = ("run", *FACT_COLUMNS.values())
_LISTED = 20


@dataclass(frozen=True)
class Selection:
    """Rows by the values of columns, and the columns that are wanted.

    Attributes:
        values: column -> the values that are asked for; a row has one of them in each of these columns.
        columns: those that are wanted, in any order; empty for all.
    """

    values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, filters: Mapping[str, Any], columns: str | Sequence[str] = (), others: Iterable[str] = ()) -> Selection:
        """Return a selection from what a user asks for.

        Args:
            filters: column -> a value or several; ``rounds`` is another name of ``round``.
            columns: those that are wanted, or the one.
            others: columns that there are beside those of the tables.

        Raises:
            UserError: there is no such column, or a value is of another kind than its column's.
        """
        kinds = {name: kind for schema in SCHEMAS.values() for name, kind in _choosable(schema).items()}
        kinds |= dict.fromkeys(OF_RUNS, "text") | dict.fromkeys(others, "any") | {"seed": "whole"}
        values: dict[str, tuple[Value, ...]] = {}
        for name, asked in filters.items():
            column = "round" if name == "rounds" else name
            if column not in kinds:
                raise UserError(_unknown("a column to choose rows by", name, sorted(kinds)))
            if asked is not None:
                values[column] = _checked(name, asked, kinds[column])
        every = [*dict.fromkeys(name for schema in SCHEMAS.values() for name in schema.names), *OF_RUNS, *others]
        wanted = (columns,) if isinstance(columns, str) else tuple(columns)
        for column in wanted:
            if column not in every:
                raise UserError(_unknown("a column of the tables", column, every))
        return cls(values, wanted)

    @property
    def is_all(self) -> bool:
        """Whether everything is asked for."""
        return not self.values and not self.columns

    @property
    def has_old_names(self) -> bool:
        """Whether a metric is asked for by a name that it had before."""
        return bool(_renamed(self.values.get("metric", ())))

    def admits(self, column: str, value: object) -> bool:
        """Say whether rows with a value of a column can be asked for."""
        return column not in self.values or value in self.values[column]

    def of_parts(self, rounds: Mapping[T, int | None], at_end: Collection[int] | None) -> list[T]:
        """Return which parts of a table can hold rows that are asked for.

        Args:
            rounds: part -> its round, None for ``final``.
            at_end: the rounds that ``final`` has rows of, None if they are not known.
        """
        ends = [part for part, number in rounds.items() if number is None]
        asked = self.admits("moment", "final") or self.admits("moment", BEST)
        known = at_end is None or any(self.admits("round", number) for number in at_end)
        end = ends if asked and known else []
        if ends and set(self.values.get("moment", ("start",))) <= {"final", BEST}:
            return end
        return [*(part for part, number in rounds.items() if number is not None and self.admits("round", number)), *end]

    def predicate(self, schema: pa.Schema, of_study: bool = False) -> ds.Expression | None:
        """Return what rows of a table must fulfil, None if all do; a column it lacks is not looked at.

        Args:
            schema: of the table.
            of_study: whether the table says of which run a row is; the parts of a run leave that to their folder.
        """
        import pyarrow.compute as pc

        found = None
        for column, values in self.values.items():
            if column in schema.names and (of_study or column != "run"):
                one = pc.field(column).isin(list(values))
                for now in _renamed(values) if column == "metric" else ():
                    one = one | _rows_of(now, schema)
                found = one if found is None else found & one
        return found

    def lacks(self, schema: pa.Schema) -> bool:
        """Say whether a table has no such rows because it lacks a column that they are chosen by."""
        return bool(self.values.keys() - {*schema.names, *OF_RUNS})

    def read(self, names: Iterable[str]) -> list[str]:
        """Return which columns of a table have to be read: those wanted, and those that rows are chosen by."""
        return [name for name in names if not self.columns or name in (*self.columns, *self.values)]

    def shown(self, names: Iterable[str]) -> list[str]:
        """Return which columns of a table are wanted."""
        return [name for name in names if not self.columns or name in self.columns]


EVERYTHING = Selection()
# Stands for what runs say that they have.
STATED = Selection(columns=("stated",))


def check_values(selection: Selection, found: pa.Table | None, there: Callable[[str, Selection], set[Value]]) -> None:
    """Raise UserError for a value that is asked for and that no row of any table has.

    Args:
        selection: what was asked for.
        found: the rows of one table, None before one is read.
        there: returns a column's values in all tables among the rows of a selection, or those that are ``STATED``; it
            may have to read much, and is only asked where a value was not found.
    """
    for column, asked in selection.values.items():
        present = set[Value]()
        if found is not None and column in found.column_names:
            present = {value.as_py() for value in found.column(column).unique()}
        absent = [value for value in asked if value not in present and _now(column, value) not in present]
        # First what costs nothing, then where it is likely to be, then everywhere.
        near = {name: values for name, values in selection.values.items() if name == "round" != column}
        for rows in [STATED, Selection(near), EVERYTHING] if absent else ():
            known = there(column, rows)
            absent = [value for value in absent if value not in known and _now(column, value) not in known]
            if absent and rows is EVERYTHING:
                raise refused(column, absent[0], known)
            if not absent:
                break


def refused(column: str, value: Value, there: Iterable[Value]) -> UserError:
    """Return the error for a value that no row has in a column.

    Args:
        column: its name.
        value: what was asked for.
        there: what there is.
    """
    name, known = "rounds" if column == "round" else column, list(there)
    if not known:
        why = ": nothing was measured inside local training (metrics.weights.steps)" if column == "step" else ""
        return UserError(f"{name} must be left out, because no row has one{why}, got {value!r}")
    meant = in_brackets(value, map(str, known)) if isinstance(value, str) else ""
    return UserError(f"{name} must be some of {listed(known)}, got {value!r}{meant}")


def listed(values: Sequence[Value]) -> str:
    """Return values in one phrase: whole numbers as ranges, of many the first ones."""
    if values and all(isinstance(value, int) for value in values):
        return _ranges(sorted({int(value) for value in values}))
    texts = sorted(map(str, values))
    more = f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else ""
    return (", ".join(texts[:_LISTED]) or "none") + more


def _ranges(numbers_there: list[int]) -> str:
    runs: list[list[int]] = []
    for number in numbers_there:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in runs]
    return ", ".join(texts[:_LISTED]) + (f" and {len(texts) - _LISTED} more" if len(texts) > _LISTED else "")


def _choosable(schema: pa.Schema) -> dict[str, str]:
    """Return column -> ``text`` or ``whole``; measured numbers are nothing to choose by."""
    import pyarrow.types as kinds

    return {
        item.name: "text" if kinds.is_dictionary(item.type) else "whole"
        for item in schema
        if kinds.is_dictionary(item.type) or kinds.is_integer(item.type)
    }


def _now(column: str, value: Value) -> Value:
    """Return what a column says now in place of a value."""
    return quantity_now(value) if column == "metric" and isinstance(value, str) else value


def _renamed(values: Iterable[Value]) -> list[Renamed]:
    return [RENAMED[value] for value in values if isinstance(value, str) and value in RENAMED]


def _rows_of(now: Renamed, schema: pa.Schema) -> ds.Expression:
    """Return what the rows of a distance fulfil that is asked for by an old name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = pc.field("metric") == now.quantity
    if not now.estimator or "variant" not in schema.names:
        return rows
    variant = pc.field("variant").cast(pa.string())
    return rows & pc.match_substring_regex(variant, rf"(^|, ){re.escape(now.estimator)}(,|$)")


def _checked(name: str, asked: Any, kind: str) -> tuple[Value, ...]:
    """Return the values asked for, whole numbers as Python's own."""
    several = [asked] if isinstance(asked, str) or not isinstance(asked, Iterable) else list(asked)
    whole = [isinstance(one, numbers.Integral) and not isinstance(one, bool) for one in several]
    good = {"text": [isinstance(one, str) for one in several], "whole": whole, "any": [True]}[kind]
    if not several or not all(good):
        allowed = {"text": "a text or a list of some", "whole": "a whole number or a list of some", "any": "values"}[
            kind
        ]
        absent = f"; read all rows, and choose those without a {name} by frame[frame[{name!r}].isna()]"
        raise UserError(f"{name} must be {allowed}, got {asked!r}{absent if None in several else ''}")
    return tuple(int(one) if is_whole else one for one, is_whole in zip(several, whole, strict=True))


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    return f"{name} is not {what}{in_brackets(name, known)}: there are {', '.join(known)}"
