"""A report of a run or a study: one HTML file with its data, style and script, that opens without server or network."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import whole_file
from fedlayers.core.machine.garbage import rare_collections
from fedlayers.core.quantities import Quantities
from fedlayers.report.answers import answers_part
from fedlayers.report.head import Fact, about, scores
from fedlayers.report.kinds import kind_of, stacked
from fedlayers.report.lines import Chart, Profile, learning_charts, profiles
from fedlayers.report.matrices import Matrices, clients_of, matrices, sizes
from fedlayers.report.orders import Order, orders
from fedlayers.report.room import MOST_NUMBERS, MOST_ROUNDS, room
from fedlayers.runs.damage import readable
from fedlayers.runs.partition_table import load_partition
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.views.client_names import client_names
from fedlayers.views.clusters import client_groups
from fedlayers.views.matrices import between_clients
from fedlayers.views.thinning import evenly

FILE = "report.html"
# Lines of so many rows are computed at once.
_ROWS_AT_ONCE = 500_000
# In the order in which they are put into the page.
_SCRIPTS = ("numbers.js", "matrix.js", "chart.js", "page.js")


@dataclass(frozen=True)
class RunReport:
    """What a page shows of one run.

    Attributes:
        name: the run's.
        facts: what it is and how it ended.
        notes: what was left out.
        clients: names of the clients in the matrices, in the order of their numbers.
        orders: in which clients may stand.
        matrices: between clients, by round.
        charts: learning curves.
        profiles: layer profiles, by round.
    """

    name: str
    facts: list[Fact]
    notes: list[str]
    clients: list[str]
    orders: list[Order]
    matrices: list[Matrices]
    charts: list[Chart]
    profiles: list[Profile]

    @property
    def is_empty(self) -> bool:
        """Say whether there is nothing to show."""
        return not (self.matrices or self.charts or self.profiles)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run, which may still be going on, or of all runs of a study.

    Args:
        folder: of the run or the study.
        out: the file; ``report.html`` in the folder if not given.

    Returns:
        The file that was written.

    Raises:
        UserError: if ``folder`` is neither, its tables cannot be read, there is nothing to show yet, or the file cannot
            be written.
    """
    tables = read(folder)
    if not tables.runs:
        raise UserError(f"{folder} is one table: give the study folder, {Path(folder).parent}")
    file = out or Path(folder) / FILE
    if file.is_dir() or not file.parent.is_dir():
        raise UserError(f"--out must be a file in a folder that is there, got {file}: give results/<study>/{FILE}")
    with rare_collections():
        runs = [run for run in run_reports(tables) if not run.is_empty]
    if not runs:
        raise UserError(f"{folder} holds nothing that could be shown yet: wait for its first round")
    text = page(_title(tables, runs), runs, answers_part(tables))
    with whole_file(file) as opened:
        opened.write(text.encode())
    return file


def run_reports(tables: Tables) -> list[RunReport]:
    """Return what a page shows of each run; the runs of a study share the room there is."""
    share = MOST_NUMBERS // len(tables.runs)
    found: dict[str, RunReport] = {}
    waiting: dict[str, list[_Opened]] = {}

    def opened(run: Path) -> None:
        one = _opened(Tables(run, (run,), several=False))
        together = waiting.setdefault(one.kind, [])
        together.append(one)
        if sum(other.rows for other in together) > _ROWS_AT_ONCE:
            found.update(_reports(waiting.pop(one.kind), share))

    done = readable(opened, tables.runs, tables.several)
    for together in waiting.values():
        found.update(_reports(together, share))
    return [found[run.name] for run in done]


def page(title: str, runs: Sequence[RunReport], answers: str = "") -> str:
    """Return the page.

    Args:
        title: of the page.
        runs: one or more.
        answers: the part about layers, see :func:`fedlayers.report.answers.answers_part`.
    """
    data = json.dumps([asdict(run) for run in runs], allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    # The data comes last, so that nothing in it is taken for a place in the page, and may not look like a script's end.
    parts = {
        "STYLE": _source("page.css"),
        "SCRIPT": "\n".join(_source(name) for name in _SCRIPTS),
        "ANSWERS": answers,
        "TITLE": html.escape(title),
        "DATA": data.replace("<", "\\u003c"),
    }
    text = _source("page.html")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def _title(tables: Tables, shown: Sequence[RunReport]) -> str:
    if not tables.several:
        return shown[0].name
    total = len(tables.runs)
    runs = f"{total} run{'' if total == 1 else 's'}"
    told = runs if len(shown) == total else f"{len(shown)} of {runs} (of the others nothing can be shown)"
    return f"study {tables.path.resolve().name}: {told}"


def _source(name: str) -> str:
    return (files("fedlayers.report") / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class _Opened:
    """What was read of a run, to be looked at together with other runs of its kind."""

    run: Path
    kind: str
    facts: Mapping[str, Any]
    quantities: Quantities
    records: pd.DataFrame
    pairs: pd.DataFrame
    partition: pd.DataFrame

    @property
    def rows(self) -> int:
        """How many values there are."""
        return len(self.records) + len(self.pairs)


def _opened(tables: Tables) -> _Opened:
    facts, records, pairs = run_facts(tables.path), tables.records, tables.pairs
    counts = load_partition(tables.path)
    partition = pd.DataFrame() if counts is None else counts.to_pandas()
    kind = kind_of(records, pairs, facts, tables.quantities)
    return _Opened(tables.path, kind, facts, tables.quantities, records, pairs, partition)


def _reports(runs: Sequence[_Opened], numbers: int) -> dict[str, RunReport]:
    """Return the reports of runs of one kind, by name of their folders."""
    records, first = stacked([run.records for run in runs]), runs[0]
    compared = between_clients(stacked([run.pairs for run in runs]))
    of_run = {str(run): rows for run, rows in compared.groupby("run", observed=True)}
    last, charts = scores(records), learning_charts(records, first.quantities)
    layers = profiles(records[records["layer"].notna()], first.facts, first.quantities, MOST_ROUNDS)
    found = {}
    for run in runs:
        name = run.run.name
        report = _matrices(run, of_run.get(name, compared[:0]), numbers)
        facts = [*about(run.facts, run.partition), *last.get(name, [])]
        found[name] = replace(report, facts=facts, charts=charts.get(name, []), profiles=layers.get(name, []))
    return found


def _matrices(run: _Opened, rows: pd.DataFrame, numbers: int) -> RunReport:
    """Return the report of a run without what is known of all runs of its kind."""
    clients = clients_of(rows)
    columns = sizes(rows)
    most_rounds, most_clients = room(columns, len(clients), numbers)
    shown = evenly(clients, most_clients)
    notes = []
    if len(shown) < len(clients):
        notes.append(f"Matrices show {len(shown)} of {len(clients)} clients, spaced evenly.")
    if any(measured > most_rounds for measured, _ in columns):
        notes.append(f"Matrices of more than {most_rounds} rounds show {most_rounds}, spaced evenly.")
    if run.records.loc[run.records["layer"].notna(), "round"].nunique() > MOST_ROUNDS:
        notes.append(f"Layer profiles of more than {MOST_ROUNDS} rounds show {MOST_ROUNDS}, spaced evenly.")
    return RunReport(
        name=run.run.resolve().name,
        facts=[],
        notes=notes,
        clients=list(client_names(run.facts, pd.Series(shown, dtype=int)).values()),
        orders=orders(client_groups(run.records, run.partition), shown),
        matrices=matrices(rows, shown, run.quantities, most_rounds),
        charts=[],
        profiles=[],
    )
