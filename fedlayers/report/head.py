"""What a run is and how it ended: the top of a report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fedlayers.statistics.over_clients import mean_and_deviation
from fedlayers.views.curves import last_scores
from fedlayers.views.numbered import parts_of

# Name and value.
Fact = tuple[str, str]
_FACTS = {"dataset": "data set", "partition": "partition", "model": "model", "algorithm": "algorithm"}


def head(facts: Mapping[str, Any], records: pd.DataFrame, partition: pd.DataFrame) -> list[Fact]:
    """Return what a run is, and its last scores.

    Args:
        facts: of the run, see :func:`fedlayers.runs.reading.run_facts.run_facts`.
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
    return [*found, *((name, _score(rows)) for name, rows in parts_of(last_scores(records), "score"))]


def _score(rows: pd.DataFrame) -> str:
    mean, deviation = mean_and_deviation(rows["value"])
    return f"{mean:.3f} ± {deviation:.3f} (sd over {len(rows)} clients)" if len(rows) > 1 else f"{mean:.3f}"
