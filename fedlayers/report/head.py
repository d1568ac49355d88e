"""What a run is and how it ended: the top of a report."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from fedlayers.figures.clients.learning import curve_rows
from fedlayers.views.moments import MOMENT_NAMES

# Name and value.
Fact = tuple[str, str]
_FACTS = {"dataset": "data set", "partition": "partition", "model": "model", "algorithm": "algorithm"}


def head(facts: Mapping[str, Any], records: pd.DataFrame, partition: pd.DataFrame) -> list[Fact]:
    """Return what a run is, and its last scores.

    Args:
        facts: of the run, see :func:`fedlayers.runs.reading.tables.run_facts`.
        records: its table of single values.
        partition: its label counts.
    """
    found = [(name, str(facts[key])) for key, name in _FACTS.items() if facts.get(key)]
    if "planted_group" in partition:
        found.append(("planted groups", str(partition["planted_group"].nunique())))
    if facts.get("clients") is not None:
        survey = f", {facts['surveyed_clients']} of them at start and final" if facts.get("surveyed_clients") else ""
        found.append(("clients", f"{facts['clients']}{survey}"))
    if facts.get("seed") is not None:
        found.append(("seed", str(facts["seed"])))
    found.append(("rounds", f"{facts.get('round') or 0} of {facts.get('rounds', '?')} ({facts['status']})"))
    return [*found, *_scores(records)]


def _scores(records: pd.DataFrame) -> Iterator[Fact]:
    """Yield the scores of the final evaluation; before there is one of the last round, those after aggregation."""
    rows = curve_rows(records)
    is_final = rows["moment"] == "final"
    # A run that goes on with more rounds has the end of fewer until it has its own.
    if is_final.any() and rows.loc[is_final, "round"].max() == rows["round"].max():
        rows, when = rows[is_final], MOMENT_NAMES["final"]
    else:
        rows = rows[rows["moment"] == "after_aggregate"]
        when = f"round {rows['round'].max()}"
        rows = rows[rows["round"] == rows["round"].max()]
    for scope, of_scope in rows.groupby(rows["scope"].astype(str), sort=True):
        models = of_scope["model"].astype(object).fillna("")
        for model, of_model in of_scope.groupby(models, sort=True):
            which = f", {model} models" if models.nunique() > 1 else ""
            for metric, cell in of_model.groupby(of_model["metric"].astype(str), sort=True):
                yield f"{str(scope).replace('_', ' ')} {metric}, {when}{which}", _score(cell)


def _score(rows: pd.DataFrame) -> str:
    mean = f"{rows['value'].mean():.3f}"
    return f"{mean} ± {rows['value'].std():.3f} (sd over {len(rows)} clients)" if len(rows) > 1 else mean
