"""What the charts of a run show at first, worked out once for as long as the run does not go on."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

from fedlayers.charts import measured, over_rounds, participation, resources
from fedlayers.charts.charted import Charted
from fedlayers.charts.clients.compared import measured_between_clients
from fedlayers.charts.layers.deviations import layer_deviations
from fedlayers.charts.layers.measured import measured_of_layers
from fedlayers.charts.over_rounds import FEW_CLIENTS
from fedlayers.charts.packed import packed
from fedlayers.charts.questions import key_of, path_of
from fedlayers.core.errors import UserError
from fedlayers.explore.mistakes.statuses import status_of
from fedlayers.explore.remembered import Remembered
from fedlayers.explore.served_tables import ServedTables
from fedlayers.explore.slices import TablesInMemory
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.quantities import load_quantities
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import Selection
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.curves import CURVES

# A longer answer is asked for by the page, in fewer bytes.
_LONGEST_HELD = 2**18
_FIRST = "first"


@dataclass(frozen=True)
class FirstQuestion:
    """What the first view of a run asks.

    Attributes:
        chart: its path below ``charts/``.
        params: what else the address says.
        answered: gives the answer about a run.
    """

    chart: str
    params: Mapping[str, str | int]
    answered: Callable[[Path], bytes]

    def key(self, run: Path) -> str:
        """Return its name, see :func:`fedlayers.charts.questions.key_of`."""
        return key_of(path_of("runs", run.name, "charts", self.chart), self.params)


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

    def asked_first(self, run: Path) -> list[FirstQuestion]:
        """Return what the view Rounds asks of a run where nothing is selected, see ``web/js/views/rounds.js``."""
        try:
            names = [name for name in CURVES if name in load_quantities(run)]
        except UserError:  # the page says so where it asks
            names = []
        return [
            FirstQuestion("measured", {}, self.measured),
            *(
                FirstQuestion(
                    "curves",
                    {"few": FEW_CLIENTS, "metric": name},
                    partial(self.curves, metric=name, few=FEW_CLIENTS),
                )
                for name in names
            ),
            FirstQuestion("participation", {}, self.participation),
            FirstQuestion("resources", {}, self.resources),
        ]

    def first(self, run: Path) -> dict[str, str]:
        """Return key of a question of the first view -> its answer or refusal as JSON that ``web/js/frozen.js`` reads.

        Long answers are not among them.

        Raises:
            DamagedError: a file of the run is damaged.
        """
        return self.remembered.of(run, _FIRST, self._first)

    def first_soon(self, run: Path, wait_s: float) -> dict[str, str]:
        """Return the same if it is known, or within some seconds; else nothing.

        Args:
            run: its folder.
            wait_s: how long is waited.
        """

        def made() -> None:
            with suppress(UserError):
                self.first(run)

        if self.remembered.known(run, _FIRST) is None:
            making = Thread(target=made, daemon=True)
            making.start()
            making.join(wait_s)
        return self.remembered.known(run, _FIRST) or {}

    def _first(self, run: Path) -> dict[str, str]:
        found = {}
        for question in self.asked_first(run):
            try:
                stream = question.answered(run)
                if len(stream) > _LONGEST_HELD:
                    continue
                answer = packed(Charted.of_stream(stream), exact=True)
            except DamagedError:  # which is mended without a sign
                raise
            except UserError as error:
                answer = {"refused": status_of(error), "detail": str(error)}
            found[question.key(run)] = json.dumps(answer, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        return found

    def _of(
        self, run: Path, name: str, chart: Callable[[Tables], Charted], columns: Sequence[str] = (), **filters: Any
    ) -> bytes:
        def made(run: Path) -> bytes:
            return chart(self.tables_of(run, [run], columns, **filters)).stream()

        return self.remembered.of(run, name, made)
