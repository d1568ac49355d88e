"""Reading results: the tables of a run, a study folder or a ``study.parquet`` as pandas frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.core.records import BEST, MOMENTS, SCHEMAS, SCOPES
from fedlayers.runs.damage import guarded, readable
from fedlayers.runs.partition_table import load_partition, with_zeros
from fedlayers.runs.quantities import load_quantities, quantities_of, stated_in
from fedlayers.runs.reading.parts import load, load_file, schema_of, to_pandas
from fedlayers.runs.reading.run_columns import short_column, types_of, with_columns
from fedlayers.runs.reading.run_facts import is_run, run_facts, run_folders
from fedlayers.runs.reading.selection import EVERYTHING, OF_RUNS, STATED, Selection, Value, check_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# What may stand in a column of any run.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "moment": (*MOMENTS, BEST),
    "scope": SCOPES,
    "owner": ("client", "server"),
    "model": ("personal", "global"),
    "status": ("ok", "missing"),
}
PARTITION_COLUMNS = ("client", "client_name", "scope", "label", "label_name", "examples")


@dataclass(frozen=True)
class Tables:
    """The tables of one or several runs, each read on first use.

    Texts are categoricals, integers are ``Int32`` or ``Int64`` (which may be absent), absent numbers NaN.
    Tables of several runs have columns ``dataset, partition, model_name, algorithm, objective, plan, seed`` beside
    ``run``. What a run has not measured (or not yet committed) is a table without rows. Of several runs damaged ones
    are left out with a :class:`fedlayers.runs.damage.DamagedRunWarning`; ``facts`` has them as ``damaged`` with the
    reason.

    Attributes:
        path: what was read.
        runs: the run folders, by name; empty if ``path`` is a parquet file.
        several: whether run facts are added as columns.
        selection: which rows and columns of records, pairs, spectra and resources are read.
    """

    path: Path
    runs: tuple[Path, ...]
    several: bool
    selection: Selection = EVERYTHING

    @cached_property
    def records(self) -> "pd.DataFrame":
        """Single values: a row per run, round, moment, client, layer, metric and variant."""
        return self._table("records")

    @cached_property
    def pairs(self) -> "pd.DataFrame":
        """Values between two clients, rounds or layers (one triangle where symmetric)."""
        return self._table("pairs")

    @cached_property
    def spectra(self) -> "pd.DataFrame":
        """Curves and rows of matrices: list columns ``x`` and ``y``."""
        return self._table("spectra")

    @cached_property
    def resources(self) -> "pd.DataFrame":
        """Times, memory and bytes, with their units."""
        return self._table("resources")

    def some(self, table: str, columns: Sequence[str] = (), **filters: Sequence[Value]) -> "pd.DataFrame":
        """Return some rows and columns of a table, of those that are selected.

        Args:
            table: ``records``, ``pairs``, ``spectra`` or ``resources``.
            columns: their names; all if none is named.
            filters: column -> the values that rows may have; there may be no such row.
        """
        rows: pd.DataFrame = getattr(self, table)
        for column, values in filters.items():
            rows = rows[rows[column].isin(list(values))]
        return rows[list(columns)] if columns else rows

    def columns(self, table: str, names: Sequence[str]) -> "pa.Table":
        """Return some columns of a table as Arrow has them, of all rows that are selected: texts are dictionaries.

        Args:
            table: ``records``, ``pairs``, ``spectra`` or ``resources``.
            names: the columns.
        """
        import pyarrow as pa

        rows: pd.DataFrame = getattr(self, table)
        return pa.Table.from_pandas(rows[list(names)], preserve_index=False)

    @cached_property
    def partition(self) -> "pd.DataFrame":
        """Label counts: run, client, client_name, scope, label, label_name, examples (zeros included).

        With ``surveyed_clients`` those who are not surveyed stand together in rows without a client.
        """
        import pandas as pd

        self._need_folders("partition")
        facts = readable(short_column, self.runs) if self.several else {run: {} for run in self.runs}
        empty = pd.DataFrame(columns=["run", *PARTITION_COLUMNS, *types_of(facts)])
        found = readable(load_partition, facts, self.several)
        frames = [
            with_zeros(table.to_pandas()).assign(run=run.name, **facts[run])
            for run, table in found.items()
            if table is not None
        ]
        counts = pd.concat(frames, ignore_index=True) if frames else empty
        # Runs with planted groups have a column that others lack.
        counts = counts[[*empty.columns, *(["planted_group"] if "planted_group" in counts else [])]]
        return counts.astype(dict.fromkeys(("run", "client_name", "scope", "label_name"), "category"))

    @cached_property
    def quantities(self) -> Quantities:
        """Name -> how to read the values of what was measured: unit, range, direction, symmetry, reference.

        Of several runs that differ the first one counts, which is told with a
        :class:`fedlayers.runs.quantities.ClashWarning`. Nothing is known of runs of older versions.
        """
        if not self.runs:
            found: Quantities = guarded(stated_in, self.path)
            return found
        return quantities_of(list(readable(load_quantities, self.runs))) if self.several else load_quantities(self.path)

    @cached_property
    def facts(self) -> "pd.DataFrame":
        """Run facts, a row per run: what run.json says (data set, algorithm, seed, status, wall time …)."""
        import pandas as pd

        if not self.runs:
            own = [c for c in self.records.columns if c == "run" or c not in SCHEMAS["records"].names]
            return self.records[own].drop_duplicates("run").reset_index(drop=True)
        rows = [run_facts(run) for run in self.runs] if not self.several else [_told_facts(run) for run in self.runs]
        flat = [{k: v for k, v in row.items() if not isinstance(v, list | dict)} for row in rows]
        return pd.DataFrame(flat).convert_dtypes()

    def check(self) -> None:
        """Look whether what is asked for is there, where runs say what they have without a look into their tables.

        Raises:
            UserError: a value that nobody states is in no table.
        """

        def there(column: str, rows: Selection) -> set[Value]:
            found = self._there(column, rows)
            return found | self._possible(column) if rows is STATED else found

        check_values(self.selection, None, there)

    def arrow(self, table: str) -> "pa.Table":
        """Return the rows and columns of a table that are selected, as Arrow has them, read anew."""
        found = self._rows(table, self.selection)
        check_values(self.selection, found, self._there)
        return found.select(self.selection.shown(found.column_names))

    def _table(self, name: str) -> "pd.DataFrame":
        return to_pandas(self.arrow(name))

    def _rows(self, name: str, selection: Selection) -> "pa.Table":
        """Return the rows of a selection, with the columns that they are chosen by."""
        if not self.runs and name in ("records", "pairs"):
            file = self.path.with_name(self.path.stem + ("" if name == "records" else "_pairs") + ".parquet")
            return _loaded(file, name, selection)
        self._need_folders(name)
        if not self.several:
            return self._load(self.path, name, selection)
        import pyarrow as pa

        facts = readable(short_column, self.runs)
        chosen = [run for run in facts if _is_chosen(run, facts[run], selection)]
        tables = readable(lambda run: self._load(run, name, selection), chosen)
        if not tables:
            tables = {run: self._load(run, name, selection).slice(0, 0) for run in list(facts)[:1]}
        types = types_of({run: facts[run] for run in tables})
        kept = {key: types[key] for key in selection.read(types)}
        return pa.concat_tables([with_columns(table, facts[run], kept) for run, table in tables.items()])

    def _load(self, run: Path, name: str, selection: Selection) -> "pa.Table":
        """Return the rows of one run that are selected."""
        return load(run, name, selection)

    def _there(self, column: str, rows: Selection) -> set[Value]:
        """Return the values of a column in all tables, among the rows of a selection."""
        if rows.columns:
            return self._stated(column)
        if column in OF_RUNS and self.runs:
            facts = readable(short_column, self.runs)
            return {run.name if column == "run" else facts[run][column] for run in facts}
        found: set[Value] = set()
        for name in SCHEMAS if self.runs else ("records", "pairs"):
            try:
                table = self._rows(name, replace(rows, columns=(column,)))
            except UserError:
                if self.runs:
                    raise
                continue  # a study without pairs
            if column in table.column_names:
                found |= {value.as_py() for value in table.column(column).unique() if value.is_valid}
        return found

    def _stated(self, column: str) -> set[Value]:
        """Return values of a column that runs say they have, without a look into their tables."""
        if column == "metric":
            known = readable(load_quantities, self.runs).values() if self.runs else (self.quantities,)
            return set().union(*known)
        found: set[Value] = set()
        for facts in readable(run_facts, self.runs).values() if column in ("client", "layer") else ():
            named = {layer["name"] for layer in facts.get("layers") or ()}
            found |= named if column == "layer" else set(range(facts.get("clients") or 0))
        return found

    def _possible(self, column: str) -> set[Value]:
        """Return values of a column that rows of these runs may have, though perhaps none has."""
        rounds = (
            [facts.get("round") or 0 for facts in readable(run_facts, self.runs).values()] if column == "round" else []
        )
        return {*_WORDS.get(column, ()), *range(max(rounds, default=-1) + 1)}

    def _need_folders(self, table: str) -> None:
        if not self.runs:
            raise UserError(f"{self.path} holds no {table}, only the runs' records: read the study folder instead")


def read(path: str | Path, *, columns: Sequence[str] = (), **filters: Any) -> Tables:
    """Return the tables of a run folder, of a study folder (all its runs) or of a ``study.parquet``.

    See :func:`fedlayers.read`, which gives the same with figures.

    Raises:
        UserError: if there is nothing at ``path``, it is neither of them, a file cannot be read, a column is none, or
            no row has a value that is asked for.
    """
    place = Path(path).expanduser()
    tables = _at(place)
    # A table of a study has columns of its own: the settings in which runs differ.
    others = () if tables.runs else guarded(schema_of, place).names
    found = replace(tables, selection=Selection.of(filters, columns, others))
    found.check()
    return found


def _at(place: Path) -> Tables:
    """Return all that is at a place."""
    if not place.exists():
        raise UserError(
            f"there is nothing at {place}: give a run folder, a study folder or a study.parquet, "
            "and check the current folder"
        )
    if place.is_file():
        if place.suffix != ".parquet":
            raise UserError(f"{place} is not a table of results: give a run folder, a study folder or a study.parquet")
        return Tables(place, (), several=True)
    if is_run(place):
        return Tables(place, (place,), several=False)
    runs = run_folders(place)
    if not runs:
        raise UserError(
            f"{place} is neither a run folder (no run.json in it) nor a study folder (no run folders in it): "
            "give results/<study>/<run> or results/<study>, or run the study first"
        )
    return Tables(place, runs, several=True)


def _told_facts(run: Path) -> dict[str, Any]:
    """Return the facts of one of several runs, of a damaged one its name and the reason."""
    try:
        return run_facts(run)
    except UserError as error:
        return {"run": run.name, "status": "damaged", "reason": str(error)}


def _loaded(file: Path, table: str, selection: Selection) -> "pa.Table":
    found: pa.Table = guarded(lambda path: load_file(path, table, selection), file)
    return found


def _is_chosen(run: Path, facts: Mapping[str, Any], selection: Selection) -> bool:
    """Say whether rows of a run can be asked for."""
    own = {"run": run.name, **facts}
    return all(selection.admits(column, own[column]) for column in OF_RUNS)
