"""The short text at the end of a run: what came out, what it cost, what is missing, where to look."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from fedlayers.core.machine.terminal import line, plain
from fedlayers.core.records import BEST, UNSEEN
from fedlayers.execution.pace import duration
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read

_WIDTH = 100
_LABEL_WIDTH = 16
_MOST_REASONS = 3
# The second of data of which several labels may hold.
_ACCURACIES = ("accuracy", "subset_accuracy")
# What says in which cell of the table a row counts.
_CELL = ["metric", "scope", "moment", "round", "model"]
_READ = [*_CELL, "layer", "subject", "step", "client", "value", "status", "reason", "unit"]
# The global model where a round has evaluated it, else the personal ones: under a plan that changes, either.
_COUNTING = "the one that counts"
_MOMENTS = {"after_local": "after local training", "after_aggregate": "after aggregation"}


def summarise(run_dir: Path) -> str:
    """Return :func:`summary` as plain text, at most 25 lines of (paths aside) 100 columns.

    Args:
        run_dir: see :func:`summary`.
    """
    return plain(summary(run_dir))


def summary(run_dir: Path) -> Group:
    """Return the summary of a run, to be printed by :func:`fedlayers.core.machine.terminal.show`.

    A table with the first round, the best (as run.json has it), the last and the final evaluation: mean and standard
    deviation over clients (n − 1), how evenly they are served (the worst client, the mean of the worst tenth, the
    variance), those that never train, the server's test set; then time, missing records and paths. A figure that was
    not measured is a dash. Where rounds ask some of the clients, a line says of how many each column is.

    Args:
        run_dir: the run folder, of a run that may still be going on.

    Raises:
        UserError: if it is no run folder or its tables cannot be read.
    """
    run = Path(run_dir)
    facts = run_facts(run)
    tables = read(run, columns=_READ)
    told = ["", *_cost(tables, facts), *_missing(tables.records), *_places(run)]
    return Group(line(_headline(facts)), *_scores(tables.records, facts), *map(line, told))


def _headline(facts: Mapping[str, Any]) -> str:
    known = [facts.get(key) for key in ("dataset", "partition", "model", "algorithm")]
    for key, usual in (("objective", "cross_entropy"), ("learner", "end_to_end")):
        known += [facts.get(key)] if facts.get(key) != usual else []
    survey = f" ({facts['surveyed_clients']} at start and final)" if facts.get("surveyed_clients") else ""
    counted = [f"{facts['clients']} clients{survey}"] if "clients" in facts else []
    counted.append(f"seed {facts.get('seed', '?')}")
    done = f"{facts['status']}, {facts.get('round') or 0} of {facts.get('rounds', '?')} rounds"
    return " · ".join([*(str(part) for part in known if part), *counted, done])


def _scores(records: pd.DataFrame, facts: Mapping[str, Any]) -> list[RenderableType]:
    """Return the table of scores, nothing if nothing was evaluated."""
    whole = records[["layer", "subject", "step"]].isna().all(axis=1)
    chosen = records["metric"].isin([*_ACCURACIES, "loss"]) & whole
    rows = records.loc[
        chosen & (records["status"] == "ok") & np.isfinite(records["value"]), [*_CELL, "client", "value"]
    ]
    accuracy = next((name for name in _ACCURACIES if (rows["metric"] == name).any()), _ACCURACIES[0])
    scope = next((name for name in ("client_test", "client_val") if (rows["scope"] == name).any()), "client_test")
    columns = _columns(rows, facts)
    if not columns:
        return []
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("mean ± sd over clients", overflow="fold", min_width=_LABEL_WIDTH)
    for title in columns:
        table.add_column(title, justify="right")

    cells = {str(name): column.to_numpy(object) for name, column in rows[_CELL].items()}
    values, clients = rows["value"].to_numpy(float), rows["client"].to_numpy(object)
    for label, *cell in _lines(rows, scope, accuracy):
        found = [(told, _at(cells, column, *at)) for column in columns.values() for told, *at in cell]
        table.add_row(label, *(told(values[here], clients[here]) for told, here in found))
    for numbers in table.columns[
        1:
    ]:  # a terminal that is too narrow breaks labels, then whole lines, but cuts no digits
        numbers.min_width = max(len(str(cell)) for cell in (numbers.header, *numbers.cells))
    best = facts.get("best")
    said = [f"best round by {best['metric']}"] if best else []
    shown = "after_aggregate", _COUNTING, accuracy, scope
    of_columns = {title: _at(cells, column, *shown) for title, column in columns.items()}
    return [line(""), table, *map(line, [*said, *_asked(of_columns, values, clients)])]


def _asked(of_columns: Mapping[str, np.ndarray], values: np.ndarray, clients: np.ndarray) -> Iterator[str]:
    """Yield of how many clients the columns are, after aggregation, if not of equally many.

    Args:
        of_columns: title -> which rows are in the column's line after aggregation.
        values: of all rows.
        clients: of all rows.
    """
    asked = {title.partition(":")[0]: {*clients[here]} for title, here in of_columns.items() if here.any()}
    if len({len(own) for own in asked.values()}) > 1:
        yield "clients after aggregation: " + ", ".join(f"{title} {len(own)}" for title, own in asked.items())
    if "best" in asked and len(asked["best"]) < len(asked.get("final", ())):
        final = next(here for title, here in of_columns.items() if title.startswith("final"))
        same = [place for place in np.flatnonzero(final) if clients[place] in asked["best"]]
        yield f"best is of the clients of its round: final has {_mean(values[same], clients[same])} on the same ones"


def _lines(rows: pd.DataFrame, scope: str, accuracy: str) -> Iterator[tuple[Any, ...]]:
    """Yield the lines of the table: the label and, unless it is a heading, what is told of which rows."""
    kinds, split = _kinds(rows[rows["scope"] == scope]), scope.removeprefix("client_")
    if kinds:
        yield (f"client {split} {accuracy.replace('_', ' ')}",)
        for moment, model, label in kinds:
            yield f"  {label}", (_mean, moment, model, accuracy, scope)
        moment, _, label = kinds[-1]
        for name, told in (("worst client", _worst), ("worst decile", _decile), ("variance", _variance)):
            yield f"  {name}", (told, moment, _COUNTING, accuracy, scope)
        new = set(rows.loc[rows["scope"] == UNSEEN[scope], "model"])
        for kind in sorted(new, reverse=True):
            yield f"  unseen clients, {kind}", (_mean, "after_aggregate", kind, accuracy, UNSEEN[scope])
        yield (f"client {split} loss",)
        yield f"  {label}", (_mean, moment, _COUNTING, "loss", scope)
    for metric in (accuracy, "loss"):
        yield f"server test {metric.replace('_', ' ')}", (_mean, "after_aggregate", None, metric, "server_test")


def _columns(rows: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return title -> moment -> round of the first, best and last round with scores, and of the final evaluation."""
    in_rounds = rows[rows["moment"].isin(list(_MOMENTS))]["round"]
    columns: dict[str, dict[str, int]] = {}
    if len(in_rounds):
        first, last, best = int(in_rounds.min()), int(in_rounds.max()), facts.get("best")
        named = {"first": first, "best": int(best["round"]) if best else None, "last": last}
        columns = {
            f"{name}: round {number}": dict.fromkeys([*_MOMENTS, *([BEST] if name == BEST else [])], number)
            for name, number in named.items()
            if number is not None
        }
    final = rows.loc[rows["moment"] == "final", "round"]
    if final.empty:
        return columns
    # A run that goes on with more rounds has the end of fewer until it has its own.
    is_last = in_rounds.empty or final.max() == in_rounds.max()
    return columns | {"final" if is_last else f"final: round {final.max()}": {"final": int(final.max())}}


def _kinds(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return moment, model and label of the kinds of client scores there are, the one that counts most last."""
    found = rows[rows["moment"].isin([*_MOMENTS, "final"])]
    # The final evaluation is of the model after aggregation.
    there = set(
        zip(found["moment"].astype(str).replace("final", "after_aggregate"), found["model"].astype(str), strict=True)
    )
    return [
        (moment, model, f"{name}, {model}" if {(moment, "personal"), (moment, "global")} <= there else name)
        for moment, name in _MOMENTS.items()
        for model in ("personal", "global")
        if (moment, model) in there
    ]


def _at(
    cells: Mapping[str, np.ndarray],
    column: Mapping[str, int],
    moment: str,
    model: str | None,
    metric: str,
    scope: str,
) -> np.ndarray:
    """Say which rows are those of one cell; evaluations at the end are of the model after aggregation."""
    own: np.ndarray = (cells["metric"] == metric) & (cells["scope"] == scope)
    at_end = [name for name in (BEST, "final") if name in column] if moment == "after_aggregate" else []
    for name in (*at_end, moment):
        here = own & (cells["moment"] == name) & (cells["round"] == column.get(name, -1))
        if here.any():  # the best round is of all clients where the end of the run has asked them
            break
    if model == _COUNTING:
        model = "global" if (here & (cells["model"] == "global")).any() else "personal"
    found: np.ndarray = here if model is None else here & (cells["model"] == model)
    return found


def _mean(values: np.ndarray, clients: np.ndarray) -> str:
    if not len(values):
        return "–"
    mean = f"{values.mean():.3f}"
    return f"{mean} ± {values.std(ddof=1):.3f}" if len(values) > 1 else mean


def _worst(values: np.ndarray, clients: np.ndarray) -> str:
    if not len(values):
        return "–"
    worst = min(range(len(values)), key=lambda place: (values[place], clients[place]))
    return f"{values[worst]:.3f} (no. {clients[worst]})"


def _decile(values: np.ndarray, clients: np.ndarray) -> str:
    """Return the mean of the tenth of the clients with the lowest accuracies."""
    worst = np.sort(values)[: math.ceil(len(values) / 10)]
    return f"{worst.mean():.3f}" if len(worst) else "–"


def _variance(values: np.ndarray, clients: np.ndarray) -> str:
    return f"{values.var(ddof=1):.4f}" if len(values) > 1 else "–"


def _cost(tables: Tables, facts: Mapping[str, Any]) -> list[str]:
    """Return wall time and how training and measuring share the clients' and the server's working time."""
    resources = tables.resources
    seconds = resources[resources["unit"] == "s"]
    names = seconds["metric"].astype(str)
    training_s = seconds.loc[names == "train_s", "value"].sum()
    by_metric = seconds[names.str.startswith("measure_")].groupby(names)["value"].sum().sort_values(ascending=False)
    parts = [f"wall time {_short(facts['wall_s'])}"] if facts.get("wall_s") else []
    if training_s and len(by_metric):
        measuring_s = by_metric.sum()
        share = measuring_s / (training_s + measuring_s)
        most = f"most: {by_metric.index[0].removeprefix('measure_')}"
        parts.append(
            f"of all work, training {_short(training_s)}, measuring {_short(measuring_s)} ({share:.0%}; {most})"
        )
    return ["; ".join(parts)] if parts else []


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else duration(seconds)


def _missing(records: pd.DataFrame) -> list[str]:
    """Return how many records are missing and the most frequent reasons."""
    missing = records[records["status"] == "missing"]
    if missing.empty:
        return [f"{len(records):,} records, none missing"]
    reasons = missing["reason"].astype(object).fillna("no reason given").value_counts()
    shown = [_fit(f"  {count:,} × {reason}") for reason, count in reasons.head(_MOST_REASONS).items()]
    if others := len(reasons) - len(shown):
        rest = f"{reasons.iloc[_MOST_REASONS:].sum():,} records"
        shown.append(f"  and {others} other reason{'s' if others > 1 else ''} of {rest}")
    return [f"{len(records):,} records, {len(missing):,} of them missing:", *shown]


def _fit(text: str) -> str:
    line = " ".join(text.split("\n", 1)[0].split())
    return "  " + (line if len(line) <= _WIDTH - 2 else line[: _WIDTH - 3] + "…")


def _places(run: Path) -> list[str]:
    """Return where figures, report and tables are, as seen from the current folder."""
    here = run.resolve()
    shown = here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here
    figures = sorted((run / "figures").glob("*.png"))
    lines = [f"figures: {shown / 'figures'} ({len(figures)} as PNG and PDF)"] if figures else []
    if (run / "report.html").is_file():
        lines.append(f"report:  {shown / 'report.html'} (open it in a browser)")
    return [*lines, f'tables:  import fedlayers; fedlayers.read("{shown}").records']
