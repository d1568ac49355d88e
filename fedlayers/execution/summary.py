"""The short text at the end of a run: what came out, what it cost, what is missing, where to look."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table

from fedlayers.core.machine.terminal import line, plain
from fedlayers.execution.pace import duration
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables, read

_WIDTH = 100
_LABEL_WIDTH = 16
_MOST_REASONS = 3
# What says in which cell of the table a row counts.
_CELL = ["metric", "scope", "moment", "round", "model"]
_MOMENTS = {"after_local": "after local training", "after_aggregate": "after aggregation"}


def summarise(run_dir: Path) -> str:
    """Return :func:`summary` as plain text, at most 25 lines of (paths aside) 100 columns.

    Args:
        run_dir: see :func:`summary`.
    """
    return plain(summary(run_dir))


def summary(run_dir: Path) -> Group:
    """Return the summary of a run, to be printed by :func:`fedlayers.core.machine.terminal.show`.

    A table with the first round, the best (as run.json has it), the last and the final evaluation: mean and
    standard deviation over clients (n − 1), the worst client, the server's test set; then time, missing
    records and paths. A figure that was not measured is a dash.

    Args:
        run_dir: the run folder, of a run that may still be going on.

    Raises:
        UserError: if it is no run folder or its tables cannot be read.
    """
    run = Path(run_dir)
    facts = run_facts(run)
    tables = read(run)
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
    chosen = records["metric"].isin(["accuracy", "loss"]) & whole
    rows = records.loc[
        chosen & (records["status"] == "ok") & np.isfinite(records["value"]), [*_CELL, "client", "value"]
    ]
    scope = next((name for name in ("client_test", "client_val") if (rows["scope"] == name).any()), "client_test")
    columns = _columns(rows, facts)
    if not columns:
        return []
    split = scope.removeprefix("client_")
    kinds = _kinds(rows[rows["scope"] == scope])
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("mean ± sd over clients", overflow="fold", min_width=_LABEL_WIDTH)
    for title in columns:
        table.add_column(title, justify="right")

    cells = {str(name): column.to_numpy(object) for name, column in rows[_CELL].items()}

    def add(label: str, told: Callable[[pd.DataFrame], str], moment: str, model: str | None, *of: str) -> None:
        found = (rows[_at(cells, column, moment, model, *of)] for column in columns.values())
        table.add_row(label, *map(told, found))

    if kinds:
        table.add_row(f"client {split} accuracy")
        for moment, model, label in kinds:
            add(f"  {label}", _mean, moment, model, "accuracy", scope)
        moment, model, label = kinds[-1]
        add("  worst client", _worst, moment, model, "accuracy", scope)
        table.add_row(f"client {split} loss")
        add(f"  {label}", _mean, moment, model, "loss", scope)
    for metric in ("accuracy", "loss"):
        add(f"server test {metric}", _mean, "after_aggregate", None, metric, "server_test")
    for numbers in table.columns[
        1:
    ]:  # a terminal that is too narrow breaks labels, then whole lines, but cuts no digits
        numbers.min_width = max(len(str(cell)) for cell in (numbers.header, *numbers.cells))
    best = facts.get("best")
    return [line(""), table, *([line(f"best round by {best['metric']}")] if best else [])]


def _columns(rows: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, int | None]:
    """Return title -> round of the first, best and last round with scores; None stands for the final evaluation."""
    in_rounds = rows[rows["moment"].isin(list(_MOMENTS))]["round"]
    columns: dict[str, int | None] = {}
    if len(in_rounds):
        first, last, best = int(in_rounds.min()), int(in_rounds.max()), facts.get("best")
        named = {"first": first, "best": int(best["round"]) if best else None, "last": last}
        columns = {f"{name}: round {number}": number for name, number in named.items() if number is not None}
    final = rows.loc[rows["moment"] == "final", "round"]
    if final.empty:
        return columns
    # A run that goes on with more rounds has the end of fewer until it has its own.
    is_last = in_rounds.empty or final.max() == in_rounds.max()
    return columns | {"final" if is_last else f"final: round {final.max()}": None}


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
    cells: Mapping[str, np.ndarray], server_round: int | None, moment: str, model: str | None, metric: str, scope: str
) -> np.ndarray:
    """Say which rows are those of one cell; the final evaluation is of the model after aggregation."""
    here: np.ndarray = (cells["metric"] == metric) & (cells["scope"] == scope)
    if server_round is None:
        here &= (cells["moment"] == "final") & (moment == "after_aggregate")
    else:
        here &= (cells["moment"] == moment) & (cells["round"] == server_round)
    return here if model is None else here & (cells["model"] == model)


def _mean(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "–"
    mean = f"{rows['value'].mean():.3f}"
    return f"{mean} ± {rows['value'].std():.3f}" if len(rows) > 1 else mean


def _worst(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "–"
    row = rows.sort_values(["value", "client"]).iloc[0]
    return f"{row['value']:.3f} (no. {row['client']})"


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
