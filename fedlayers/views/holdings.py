"""Who holds what: examples of each class at each client."""

import pandas as pd

from fedlayers.views.thinning import evenly

# Scope of a split -> what it is called.
SPLITS = {"client_train": "training", "client_val": "validation", "client_test": "test"}
# A bar of so many is one dot of a page.
_MOST_CLIENTS = 1000


def holdings(partition: pd.DataFrame) -> pd.DataFrame:
    """Return how many examples of each class each client holds in each split.

    Args:
        partition: label counts of one run.

    Returns:
        Columns ``client, client_name, label, label_name, split`` (``training``) and ``examples``, zeros included; of
        more than 1,000 clients 1,000, spaced evenly; no rows if they hold nothing.
    """
    counts = partition[partition["scope"].isin(list(SPLITS)) & partition["client"].notna()]
    counts = counts[counts["client"].isin(evenly(sorted(counts["client"].unique()), _MOST_CLIENTS))]
    if not counts["examples"].sum():
        counts = counts[:0]
    split = counts["scope"].astype(object).map(SPLITS)
    return counts[["client", "client_name", "label", "label_name", "examples"]].assign(split=split)
