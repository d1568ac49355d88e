"""Which layers were shared in which round, and with whom, where clients had plans of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

METRIC = "layer_shared"
EVERYBODY = "all clients"
# So many clients are shown one by one.
MOST_CLIENTS = 11


def shared_layers(
    records: pd.DataFrame, facts: Mapping[str, Any], clients: Sequence[int] | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables that show a run's federation plan: empty if all layers are shared in all rounds.

    Args:
        records: of one run.
        facts: the run's.
        clients: whose own plans are shown, of those that have one; None for the first ones.

    Returns:
        Title -> layers by rounds: 1 where the layer was sent and averaged, 0 where it was not, and of all clients
        together the share of those taking part that sent it. Where their plans differ a table for each of the first
        clients follows, NaN in rounds in which it took no part.
    """
    layers = [str(layer["name"]) for layer in facts.get("layers", ())]
    rows = records[records["metric"] == METRIC]
    if rows.empty:
        shared = [float(layer.get("shared", True)) for layer in facts.get("layers", ())]
        rounds = range(1, int(facts.get("rounds") or 0) + 1)
        return {} if all(shared) else {EVERYBODY: pd.DataFrame(dict.fromkeys(rounds, shared), index=layers)}
    everybody = _table(rows, layers)
    if everybody.eq(1).to_numpy().all():
        return {}
    own = rows[rows["client"].notna()]
    common = rows[rows["client"].isna()]
    known = sorted(own["client"].astype(int).unique())
    chosen = known[:MOST_CLIENTS] if clients is None else [client for client in known if client in clients]
    # A round in which all had the same plan has one row for all.
    tables = {c: _table(pd.concat([common, own[own["client"] == c]]), layers, everybody.columns) for c in chosen}
    return {EVERYBODY: everybody, **{f"client {client}": table for client, table in tables.items()}}


def _table(rows: pd.DataFrame, layers: list[str], rounds: pd.Index | None = None) -> pd.DataFrame:
    found = rows.astype({"layer": object}).pivot_table("value", "layer", "round", aggfunc="mean")
    return found.reindex(index=layers, columns=found.columns if rounds is None else rounds)
