"""Which class was taken for which, as counts of the last test that was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedlayers.views.moments import MOMENT_NAMES

_METRIC = "confusion"
# Where the last test stands: what the server found of the global model, else what clients found on their own examples.
_PLACES = (
    ("server", "server_test", "final"),
    ("server", "server_test", "after_aggregate"),
    ("client", "client_test", "final"),
    ("client", "client_test", "after_aggregate"),
    ("client", "client_test", "after_local"),
    ("client", "client_val", "final"),
    ("client", "client_val", "after_aggregate"),
    ("client", "client_val", "after_local"),
)


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for which.

    Attributes:
        counts: shape (C, C), whole numbers, rows true, columns predicted.
        classes: the names of the classes, in the order of the labels.
        what: what was tested when, in words.
    """

    counts: np.ndarray
    classes: tuple[str, ...]
    what: tuple[str, ...] = ()

    @property
    def shares(self) -> np.ndarray:
        """The counts as shares of each true class, shape (C, C); NaN for a class without examples."""
        totals = self.counts.sum(1, keepdims=True)
        found = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, totals, out=found, where=totals > 0)
        return found


def last_confusion(spectra: pd.DataFrame, classes: Sequence[str]) -> Confusion | None:
    """Return the last confusion matrix of the global model on the server's test set, or of all clients on their own.

    Args:
        spectra: of one run, or of several with the same classes, whose counts are added up.
        classes: their names, in the order of the labels.

    Returns:
        None if there is none.
    """
    rows = spectra[(spectra["metric"] == _METRIC) & (spectra["status"] == "ok")]
    for owner, scope, moment in _PLACES:
        found = rows[(rows["owner"] == owner) & (rows["scope"] == scope) & (rows["moment"] == moment)]
        if found.empty:
            continue
        last = found[found["round"] == found.groupby("run", observed=True)["round"].transform("max")]
        counts = _counts(last, classes)
        whose = "server's test set" if owner == "server" else f"clients' {scope.removeprefix('client_')} sets"
        rounds = sorted(last["round"].unique())
        when = f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"
        return Confusion(counts, tuple(classes), (whose, MOMENT_NAMES[moment], when))
    return None


def _counts(rows: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the sum of matrices, of each of which a row holds what one true class was taken for."""
    numbers = {name: number for number, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for name, predicted, values in zip(rows["subject"], rows["x"], rows["y"], strict=True):
        np.add.at(counts[numbers[str(name)]], np.asarray(predicted, int), np.asarray(values, np.int64))
    return counts
