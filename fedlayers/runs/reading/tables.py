"""Reading results: the tables of a run, a study folder or a ``study.parquet`` as pandas frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.core.records import SCHEMAS
from fedlayers.runs.damage import guarded, readable
from fedlayers.runs.partition_table import load_partition, with_zeros
from fedlayers.runs.quantities import load_quantities, quantities_of, stated_in
from fedlayers.runs.reading.parts import load, to_pandas
from fedlayers.runs.reading.run_columns import short_column, types_of, with_columns
from fedlayers.runs.reading.run_facts import is_run, run_facts, run_folders

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PARTITION_COLUMNS = ("client", "client_name", "scope", "label", "label_name", "examples")


@dataclass(frozen=True)
class Tables:
    """The tables of one or several runs, each read on first use.

    Texts are categoricals, integers are ``Int32`` or ``Int64`` (which may be absent), absent numbers NaN.
    Tables of several runs have columns ``dataset, partition, model_name, algorithm, seed`` beside ``run``.
    What a run has not measured (or not yet committed) is a table without rows. Of several runs damaged ones
    are left out with a :class:`fedlayers.runs.damage.DamagedRunWarning`; ``facts`` has them as ``damaged`` with the
    reason.

    Attributes:
        path: what was read.
        runs: the run folders, by name; empty if ``path`` is a parquet file.
        several: whether run facts are added as columns.
    """

    path: Path
    runs: tuple[Path, ...]
    several: bool

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

    def plot(
        self,
        name: str,
        *,
        metric: str | None = None,
        round: int | None = None,
        layers: Sequence[str] = (),
        **paper: Any,
    ) -> "Figure":
        """Return a figure of matplotlib, which a notebook shows; ``python -m fedlayers.plot PATH --list`` lists them.

        Args:
            name: of a figure, such as ``learning_curves`` or ``layer_profile_norm``, or of a kind with ``metric``.
            metric: the metric of a kind of which there are several.
            round: this round instead of the first and the last one measured.
            layers: only these layers, by name; empty for all.
            paper: ``width`` (inches), ``font_size`` (points), ``title`` (False leaves it out) and ``band`` (``sd``,
                ``ci`` or ``range``), see :class:`fedlayers.figures.drawing.paper.Paper`.

        Raises:
            UserError: there is no such figure, layer or setting.

        Examples:
            ``fedlayers.read("results/main/<run>").plot("learning_curves", width=3.3).savefig("curves.pdf")``
        """
        from fedlayers.figures.notebook import figure_of

        return figure_of(self, name, metric, round, layers, **paper)

    def _table(self, name: str) -> "pd.DataFrame":
        if not self.runs and name in ("records", "pairs"):
            import pyarrow.parquet as pq

            from fedlayers.runs.reading.run_columns import in_full

            file = self.path.with_name(self.path.stem + ("" if name == "records" else "_pairs") + ".parquet")
            # Metrics are plain texts in the file, so that readers can skip row groups.
            table = guarded(lambda path: pq.read_table(path, read_dictionary=["metric"]), file)
            return to_pandas(in_full(table, name))
        self._need_folders(name)
        import pyarrow as pa

        if not self.several:
            return to_pandas(load(self.path, name))
        facts = readable(short_column, self.runs)
        tables = readable(lambda run: load(run, name), facts)
        types = types_of({run: facts[run] for run in tables})
        return to_pandas(pa.concat_tables([with_columns(table, facts[run], types) for run, table in tables.items()]))

    def _need_folders(self, table: str) -> None:
        if not self.runs:
            raise UserError(f"{self.path} holds no {table}, only the runs' records: read the study folder instead")


def read(path: str | Path) -> Tables:
    """Return the tables of a run folder, of a study folder (all its runs) or of a ``study.parquet``.

    Args:
        path: ``results/<study>/<run>``, ``results/<study>`` or ``results/<study>/study.parquet``.

    Returns:
        Tables that are read when first asked for; call ``read`` again to see what a running run added since.

    Raises:
        UserError: if there is nothing at ``path``, it is neither of the three, or a file cannot be read.

    Examples:
        >>> import fedlayers
        >>> run = fedlayers.run(rounds=1, clients=2, metrics=["weights"], figures=False)
        run: results/main/digits-fedavg-s0-...
        >>> tables = fedlayers.read("results/main")
        >>> sorted(tables.records.query("metric == 'update_norm'")["layer"].dropna().unique())
        ['fc1', 'fc2']
    """
    place = Path(path).expanduser()
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
