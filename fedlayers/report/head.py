"""What a run is and how it ended: the top of a report."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from fedlayers.runs.partition_table import load_partition
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.over_clients import mean_and_deviation
from fedlayers.views.curves import last_scores
from fedlayers.views.numbered import names_in

# Name and value.
Fact = tuple[str, str]
_FACTS = {
    "dataset": "data set",
    "partition": "partition",
    "model": "model",
    "algorithm": "algorithm",
    "objective": "objective",
    "learner": "learner",
}


def head_part(tables: Tables) -> str:
    """Return the part of the page: what a run is, how far it is, its last scores; empty for a study.

    Args:
        tables: of a run or a study.
    """
    if tables.several:
        return ""
    counts = load_partition(tables.path)
    facts = about(run_facts(tables.path), pd.DataFrame() if counts is None else counts.to_pandas())
    facts += scores(tables.records).get(tables.path.name, [])
    rows = "\n".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<section id="facts">\n<h2>{escape(tables.path.resolve().name)}</h2>\n<dl>\n{rows}\n</dl>\n</section>'


def about(facts: Mapping[str, Any], partition: pd.DataFrame) -> list[Fact]:
    """Return what a run is and how far it is.

    Args:
        facts: of the run, see :func:`fedlayers.runs.reading.run_facts.run_facts`.
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
    return [*found, ("rounds", f"{facts.get('round') or 0} of {facts.get('rounds', '?')} ({facts['status']})")]


def scores(records: pd.DataFrame) -> dict[str, list[Fact]]:
    """Return the last scores of each run.

    Args:
        records: single values of runs that measured the same.
    """
    rows = last_scores(records)
    names = names_in(rows, "score")
    found: dict[str, list[Fact]] = {str(run): [] for run in records["run"].unique()}
    for (number, run), values in rows.groupby(["score", "run"], sort=True, observed=True)["value"]:
        if number in names:
            found[str(run)].append((names[number], _score(values)))
    return found


def _score(values: "pd.Series[float]") -> str:
    mean, deviation = mean_and_deviation(values)
    return f"{mean:.3f} ± {deviation:.3f} (sd over {len(values)} clients)" if len(values) > 1 else f"{mean:.3f}"
