"""Which rows of pairs a figure shows: by metric and by the relation of the two."""

import pandas as pd

from fedlayers.figures.spread import usable


def pair_metrics(pairs: pd.DataFrame, relations: tuple[str, ...]) -> list[str]:
    """Return the metrics that have values of layers in one of these relations, by name."""
    rows = usable(pairs[pairs["subject"].isin(relations) & pairs["layer"].notna()])
    return sorted(str(name) for name in rows["metric"].unique())


def in_relations(pairs: pd.DataFrame, metric: str, relations: tuple[str, ...]) -> pd.DataFrame:
    """Return a metric's usable rows of layers in some relations."""
    chosen = (pairs["metric"] == metric) & pairs["subject"].isin(relations) & pairs["layer"].notna()
    return usable(pairs[chosen])
