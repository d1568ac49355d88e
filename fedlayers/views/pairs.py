"""Which rows of pairs a figure shows: by metric and by the relation of the two."""

import pandas as pd

from fedlayers.views.moments import at_moments
from fedlayers.views.values import usable


def pair_metrics(pairs: pd.DataFrame, relations: tuple[str, ...]) -> list[str]:
    """Return the metrics that have values of layers in one of these relations, by name."""
    rows = usable(at_moments(pairs[pairs["subject"].isin(relations) & pairs["layer"].notna()]))
    return sorted(str(name) for name in rows["metric"].unique())


def in_relations(pairs: pd.DataFrame, metric: str, relations: tuple[str, ...]) -> pd.DataFrame:
    """Return a metric's usable rows of layers in some relations."""
    chosen = (pairs["metric"] == metric) & pairs["subject"].isin(relations) & pairs["layer"].notna()
    return usable(at_moments(pairs[chosen]))


def whole_model_metrics(pairs: pd.DataFrame) -> list[str]:
    """Return the metrics that have values between the whole models of clients, by name."""
    return sorted(str(name) for name in usable(pairs[_between_models(pairs)])["metric"].unique())


def whole_models(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a metric's usable rows between the whole models of clients."""
    return usable(pairs[(pairs["metric"] == metric) & _between_models(pairs)])


def _between_models(pairs: pd.DataFrame) -> "pd.Series[bool]":
    return (pairs["subject"] == "clients") & pairs["layer"].isna() & pairs["step"].isna()
