"""Times, memory and bytes over the rounds of a run."""

from typing import Any

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.core.errors import UserError
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.spread import band_name, spreads_along

COLUMNS = ("run", "round", "moment", "owner", "client", "layer", "subject", "step", "metric", "unit", "value")
_ADDED, _BYTES = ("s", "ms", "J", "FLOP"), ("bytes", "B", "KiB", "MiB", "GiB")
_SHOWN = ["metric", "who", "round", "value", "low", "high", "total"]


def resources(tables: Tables) -> Charted:
    """Return what each resource took over the rounds: mean and band over clients and their sum, or the server's value.

    Times, energy and bytes that travel add up, over the moments of a round and over clients; of memory, rates and
    shares the largest in a round counts. Resources of single layers and components are left out.

    Args:
        tables: of one run, its resources with ``COLUMNS``.

    Returns:
        Columns ``metric, who`` (``clients`` or ``server``), ``round, value, low, high, total`` (NaN of what does not
        add up); facts ``lines``: of each ``metric, who, name, unit, label, band, count, adds`` and ``final``, the sum
        of what the final evaluation took, which belongs to no round (absent if nothing or no sum).

    Raises:
        UserError: the run has no resources.
    """
    rows = tables.resources
    rows = rows[
        rows[["layer", "subject", "step"]].isna().all(axis=1) & np.isfinite(rows["value"]) & rows["round"].notna()
    ]
    is_final = rows["moment"] == "final"
    rows, ends = rows[~is_final], rows[is_final]
    if rows.empty:
        raise UserError("the run has no resources, which a run of fedlayers writes in every round")
    rows = rows.astype({"metric": str, "unit": str, "round": int})
    rows = rows.assign(who=np.where(rows["client"].isna(), "server", "clients"))
    each = _of_rounds(rows)
    frames, lines = [], []
    for (metric, who), spread in spreads_along(each, "round", ["metric", "who"], (0.0, np.inf)).items():
        own = each[(each["metric"] == metric) & (each["who"] == who)]
        unit = str(own["unit"].iloc[0])
        total = own.groupby("round")["value"].sum() if adds(str(metric), unit) else np.full(len(spread.x), np.nan)
        columns = {
            "round": spread.x,
            "value": spread.mean,
            "low": spread.low,
            "high": spread.high,
            "total": np.asarray(total),
        }
        frames.append(pd.DataFrame({"metric": metric, "who": who, **columns}))
        end = ends[(ends["metric"] == metric) & (ends["client"].isna() == (who == "server"))]
        final = float(end["value"].sum()) if adds(str(metric), unit) and len(end) else None
        lines.append(_said(str(metric), str(who), unit, spread.count) | {"final": final})
    return Charted.of(pd.concat(frames, ignore_index=True)[_SHOWN], {"lines": lines})


def adds(metric: str, unit: str) -> bool:
    """Say whether amounts of a resource make a sum: times do, memory and rates do not."""
    return unit in _ADDED or (unit in _BYTES and not any(word in metric for word in ("memory", "reserved")))


def _of_rounds(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one value per metric, client and round."""
    keys = ["metric", "unit", "who", "client", "round"]
    added = np.array([adds(*one) for one in zip(rows["metric"], rows["unit"], strict=True)], bool)
    summed = rows[added].groupby(keys, dropna=False, observed=True)["value"].sum()
    highest = rows[~added].groupby(keys, dropna=False, observed=True)["value"].max()
    found: pd.DataFrame = pd.concat([summed, highest]).reset_index()
    return found.assign(stderr=np.nan)


def _said(metric: str, who: str, unit: str, count: int) -> dict[str, Any]:
    words = metric.removesuffix(f"_{unit}").replace("_", " ")
    of = "mean over clients" if count > 1 else who
    return {
        "metric": metric, "who": who, "unit": unit, "label": f"{words} ({unit})", "name": of, "count": count,
        "band": band_name(count), "adds": adds(metric, unit),
    }  # fmt: skip
