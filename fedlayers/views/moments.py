"""The moments of a round: what they are called, and which of them a figure shows that shows one."""

from collections.abc import Mapping

import pandas as pd

MOMENT_NAMES: Mapping[str, str] = {
    "start": "before training",
    "after_local": "after local training",
    "after_aggregate": "after aggregation",
    "final": "final",
}
ROUND_MOMENTS = ("after_local", "after_aggregate")


def one_moment(rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Return the moment that comes first of after_local, after_aggregate, final, start, and its rows."""
    for moment in (*ROUND_MOMENTS, "final", "start"):
        chosen = rows[rows["moment"] == moment]
        if not chosen.empty:
            return moment, chosen
    return "", rows
