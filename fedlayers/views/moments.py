"""When values were measured: what moments are called, which of them a figure shows, and the steps on the way to one."""

from collections.abc import Mapping

import pandas as pd

MOMENT_NAMES: Mapping[str, str] = {
    "start": "before training",
    "after_local": "after local training",
    "after_aggregate": "after aggregation",
    "final": "final",
    "best": "best round, all clients",
}
ROUND_MOMENTS = ("after_local", "after_aggregate")


def one_moment(rows: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """Return the moment that comes first of after_local, after_aggregate, final, start, and its rows."""
    for moment in (*ROUND_MOMENTS, "final", "start"):
        chosen = rows[rows["moment"] == moment]
        if not chosen.empty:
            return moment, chosen
    return "", rows


def at_moments(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that were measured at moments, not at steps inside local training."""
    found: pd.DataFrame = rows[rows["step"].isna()]
    return found


def last_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one metric that were measured last inside each local training."""
    steps = rows.groupby(["run", "round", "client"], dropna=False, observed=True)["step"]
    found: pd.DataFrame = rows[rows["step"] == steps.transform("max")]
    return found
