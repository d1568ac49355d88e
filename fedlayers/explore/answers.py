"""What the charts of a run show at first, worked out once for as long as the run does not go on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlayers.charts import measured, over_rounds, participation, resources
from fedlayers.charts.charted import Charted
from fedlayers.charts.clients.compared import measured_between_clients
from fedlayers.charts.layers.deviations import layer_deviations
from fedlayers.charts.layers.measured import measured_of_layers
from fedlayers.explore.remembered import Remembered
from fedlayers.explore.served_tables import ServedTables
from fedlayers.explore.slices import TablesInMemory
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import Selection
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.curves import CURVES


@dataclass(frozen=True)
class RunAnswers:
    """What is answered about a run, as the bytes of an Arrow stream.

    Attributes:
        tables: of runs, in memory.
        remembered: what was worked out before.
    """

    tables: TablesInMemory = field(default_factory=TablesInMemory)
    remembered: Remembered = field(default_factory=Remembered)

    def tables_of(self, place: Path, runs: Sequence[Path], columns: Sequence[str] = (), **filters: Any) -> Tables:
        """Return the tables of a run, or of several, for a chart: only what it asks for is looked at.

        Args:
            place: the folder of the one run, or that of all.
            runs: their folders.
            columns: those that are wanted; all if none is named.
            filters: column -> a value or several that rows have; None stands for any.
        """
        return ServedTables(place, tuple(runs), len(runs) > 1, Selection.of(filters, columns), self.tables)

    def measured(self, run: Path, table: str = "records") -> bytes:
        """Return which metrics a table of the run has."""
        return self._of(run, f"measured {table}", lambda all_rows: measured.measured(all_rows, table), measured.COLUMNS)

    def curves(
        self, run: Path, metric: str, layer: str | None = None, client: int | None = None, few: int | None = None
    ) -> bytes:
        """Return a metric over the rounds, see :func:`fedlayers.charts.over_rounds.curves`."""
        name = f"curves {[metric, layer, client, few]}"
        # Curves that are drawn together are read together.
        read = CURVES if metric in CURVES else (metric,)
        return self._of(
            run,
            name,
            lambda rows: over_rounds.curves(rows, metric, layer, client, few),
            over_rounds.COLUMNS,
            metric=read,
        )

    def participation(self, run: Path) -> bytes:
        """Return who trained and who failed, see :func:`fedlayers.charts.participation.participation`."""
        return self._of(
            run, "participation", participation.participation, participation.COLUMNS, metric=participation.ASKED
        )

    def resources(self, run: Path) -> bytes:
        """Return what the run took over the rounds, see :func:`fedlayers.charts.resources.resources`."""
        return self._of(run, "resources", resources.resources, resources.COLUMNS)

    def layers(self, run: Path) -> bytes:
        """Return what was measured of layers, see :func:`fedlayers.charts.layers.measured.measured_of_layers`."""
        return self._of(run, f"layers {run_facts(run)['status']}", measured_of_layers)

    def deviations(self, run: Path, round: int | None) -> bytes:
        """Return how far clients are apart, see :func:`fedlayers.charts.layers.deviations.layer_deviations`."""
        return self._of(run, f"deviations {round}", lambda rows: layer_deviations(rows, round))

    def clients(self, run: Path) -> bytes:
        """Return how clients are compared, see :func:`fedlayers.charts.clients.compared.measured_between_clients`."""
        return self._of(run, f"clients {run_facts(run)['status']}", measured_between_clients)

    def _of(
        self, run: Path, name: str, chart: Callable[[Tables], Charted], columns: Sequence[str] = (), **filters: Any
    ) -> bytes:
        def made(run: Path) -> bytes:
            return chart(self.tables_of(run, [run], columns, **filters)).stream()

        return self.remembered.of(run, name, made)
