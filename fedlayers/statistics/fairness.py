"""How evenly a federation serves its clients: variance over clients, worst decile, worst client."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

# What a row has that is of one client, or of one measurement of it.
_OF_ONE = (
    "owner", "client", "layer", "layer_index", "subject", "step", "value", "stderr", "n", "chance", "chance_hi", "p",
    "status", "reason",
)  # fmt: skip
COLUMNS = ("clients", "mean", "variance", "worst_decile", "worst", "worst_client")


def fairness(records: pd.DataFrame, directions: Mapping[str, str]) -> pd.DataFrame:
    """Return how evenly clients are served, a row for each round, moment, model, scope and metric.

    Args:
        records: single values, of one run or several.
        directions: metric -> ``higher`` or ``lower`` is better; metrics without one are left out.

    Returns:
        The columns that tell the rows apart, then ``clients`` (how many there are), ``mean`` and ``variance`` (n − 1)
        over clients, each counting once, ``worst_decile``, the mean of the ⌈n/10⌉ clients that are served worst,
        ``worst`` and ``worst_client``, the first of equal ones. Values that are missing do not count.

    References:
        Li, Sanjabi, Beirami & Smith 2020, Fair Resource Allocation in Federated Learning, ICLR (arXiv 1905.10497).

    Examples:
        >>> rows = pd.DataFrame({"round": 1, "moment": "final", "model": "global", "client": [0, 1, 2], "layer": None,
        ...     "subject": None, "step": None, "metric": "accuracy", "scope": "client_test", "value": [0.9, 0.5, 0.7],
        ...     "status": "ok"})
        >>> table = fairness(rows, {"accuracy": "higher"})
        >>> table[["clients", "mean", "variance", "worst_decile", "worst_client"]].round(3).values.tolist()
        [[3.0, 0.7, 0.04, 0.5, 1.0]]
    """
    known = [metric for metric, direction in directions.items() if direction != "neutral"]
    whole = records[["layer", "subject", "step", "scope"]].notna().to_numpy() == [False, False, False, True]
    there = (records["status"] == "ok") & records["client"].notna() & np.isfinite(records["value"].to_numpy(float))
    rows = records[whole.all(axis=1) & there & records["metric"].isin(known)]
    keys = [name for name in rows.columns if name not in _OF_ONE]
    signs = rows["metric"].astype(str).map(directions).map({"higher": 1.0, "lower": -1.0}).astype(float)
    rows = rows.assign(_badness=rows["value"] * signs).sort_values(["_badness", "client"], kind="stable")
    groups = rows.groupby(keys, observed=True, dropna=False, sort=True)
    size, place = groups.size(), groups.ngroup().to_numpy()
    # Pandas needs as long to align what has these keys as to compute it: the rest goes by the number of the group.
    is_worst = groups.cumcount().to_numpy() < np.ceil(size.to_numpy()[place] / 10)
    worst = rows["value"][is_worst].groupby(place[is_worst], sort=True)
    columns = {
        "clients": size,
        "mean": groups["value"].mean(),
        "variance": groups["value"].var(),
        "worst_decile": worst.mean(),
        "worst": groups["value"].first(),
        "worst_client": groups["client"].first(),
    }
    table = pd.DataFrame({name: column.array for name, column in columns.items()}, index=size.index)
    found: pd.DataFrame = table.reset_index()
    return found
