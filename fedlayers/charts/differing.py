"""How clients differ, as a run with ``metrics=[heterogeneity]`` measured it: what a page shows without models."""

from typing import Any

import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.heterogeneity.disagreements import METRIC, disagreements
from fedlayers.views.heterogeneity.record_clusters import record_clusters
from fedlayers.views.heterogeneity.verdicts import group_verdicts, verdicts
from fedlayers.views.quantities import axis_label


def client_verdicts(tables: Tables) -> Charted:
    """Return what kind of shift each client has, in its last measured round, a row per client and kind.

    Args:
        tables: of one run.

    Returns:
        Columns ``client, client_name, kind, effect`` (NaN where nothing can be said), ``p, named, reason, sentence``;
        facts ``round`` and ``groups`` (a sentence for each group of clients of which a kind of shift is named).

    Raises:
        UserError: the run did not test its clients.
    """
    told = verdicts(*_measured(tables))
    if told.empty:
        raise UserError("the run did not test its clients: metrics=[heterogeneity] does")
    groups = group_verdicts(tables.records)
    named = groups[groups["named"]].drop_duplicates("group") if len(groups) else groups
    sentences = [f"{row.group}: {row.sentence}" for row in named.itertuples()]
    columns = ["client", "client_name", "kind", "effect", "p", "named", "reason", "sentence"]
    return Charted.of(told[columns], {"round": int(told["round"].max()), "groups": sentences})


def client_disagreements(tables: Tables) -> Charted:
    """Return how far each client's own and the common model disagree, in each round that was measured.

    Args:
        tables: of one run.

    Returns:
        Columns ``round, client, client_name, value, chance`` (what two models of other seeds alone disagree on), ``p``;
        fact ``label``.

    Raises:
        UserError: the run did not measure it.
    """
    found = disagreements(*_measured(tables))
    if found.empty:
        raise UserError("the run did not set clients' own models against the common one: metrics=[heterogeneity] does")
    columns = ["round", "client", "client_name", "value", "chance", "p"]
    return Charted.of(found[columns], {"label": axis_label(tables.quantities[METRIC])})


def client_record_clusters(tables: Tables) -> Charted:
    """Return the clusters of the examples on which each client's own and the common model disagree, in the last round.

    Args:
        tables: of one run.

    Returns:
        Columns ``client, client_name, cluster, size`` and ``accuracy`` (of the common model), the largest first; no
        rows where models agree. Fact ``round``.

    Raises:
        UserError: the run did not measure it.
    """
    records, facts = _measured(tables)
    found = record_clusters(records, facts)
    return Charted.of(
        found[["client", "client_name", "cluster", "size", "accuracy"]],
        {"round": int(found["round"].max()) if len(found) else None},
    )


def _measured(tables: Tables) -> tuple[pd.DataFrame, dict[str, Any]]:
    if METRIC not in tables.quantities:
        raise UserError("the run did not measure how clients differ: metrics=[heterogeneity] does")
    return tables.records, run_facts(tables.runs[0])
