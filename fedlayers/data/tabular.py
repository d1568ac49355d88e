"""Rows: missing values filled in and columns standardised, with what each client knows itself.

scikit-learn's ``SimpleImputer`` and ``StandardScaler`` find the same bytes in ordinary columns, but are fitted once a
client, which takes 17 ms instead of 0.9 for 20 rows of 13 columns (17 s for 1,000 clients), and the scaler leaves
columns of 1e200 or 1e-200 unscaled and blows up one that varies by float32's rounding only (to 2.1 instead of 0).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlayers.core.errors import UserError

# Means of more standard deviations than this are subtracted in float64: float32 would leave errors of 1e-5.
LARGEST_SHIFT = 256


@dataclass
class Filled:
    """Rows without gaps, and the numbers that standardise them.

    Attributes:
        own: all examples' features as their clients see them, shape (n, d).
        pooled: the same filled in from all clients' training examples, shape (n, d).
        scale, shift: ``x * scale + shift`` has mean 0 and variance 1; one row per client, the pooled one last.
        wide: whose ``x * scale + shift`` has to be computed in float64, shape (clients + 1,).
        imputed: one entry per client, column and scope with missing values; see :func:`fill`.
    """

    own: np.ndarray
    pooled: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    wide: np.ndarray
    imputed: list[dict[str, Any]] = field(default_factory=list)


def fill(
    features: np.ndarray,
    splits: Mapping[str, Sequence[np.ndarray]],
    server_test: np.ndarray,
    columns: Sequence[str],
    categorical: Sequence[str],
    unseen: Collection[int] = (),
) -> Filled:
    """Fill in missing values and find the statistics that standardise the columns.

    A client's gaps take the median of the column in that client's *training* examples (the most frequent value for a
    categorical column; the smallest of several). A column that none of them has takes the value of all clients'
    training examples together; the server's test set does so for every column. Mean and standard deviation
    (population form) are those of the filled training examples, the client's own or all clients'; a constant column
    becomes 0. Nothing ever depends on a client's validation or test examples.

    Args:
        features: rows with NaN for missing, shape (n, d).
        splits: scope -> positions of each client's examples.
        server_test: positions of the server's test examples.
        columns: names of the d columns; a column without a name is called by its number.
        categorical: names of the categorical columns.
        unseen: clients that never train: what is of all clients' examples together is of the others'.

    Returns:
        See :class:`Filled`; entries of ``imputed`` have client (None for the server), feature, scope, missing
        (count), value and source (``client`` or ``pooled``).

    Raises:
        UserError: if no training example at all has a value for a column.
    """
    names = [str(column) for column in columns] or [str(number) for number in range(features.shape[1])]
    is_categorical = np.isin(names, list(categorical))
    train = splits["client_train"]
    everyone = np.concatenate([part for client, part in enumerate(train) if client not in unseen])
    pooled_value = {j: _typical(features[everyone, j], is_categorical[j]) for j in _with_gaps(features)}
    for j, value in pooled_value.items():
        if np.isnan(value):
            raise UserError(
                f"dataset: column {names[j]} must have a value in some training example, got none; leave it out"
            )
    num_clients, width = len(train), features.shape[1]
    shape = (num_clients + 1, width)
    filled = Filled(features, features, np.empty(shape), np.empty(shape), np.zeros(num_clients + 1, bool))
    if pooled_value:
        filled.own, filled.pooled = np.array(features), np.array(features)
        for j, value in pooled_value.items():
            column = filled.pooled[:, j]
            column[np.isnan(column)] = value
        for client in range(num_clients):
            mine = {scope: parts[client] for scope, parts in splits.items()}
            filled.imputed += _fill_client(filled.own, client, mine, names, is_categorical, pooled_value)
        filled.imputed += [
            _entry(None, names[j], "server_test", int(np.isnan(features[server_test, j]).sum()), value, "pooled")
            for j, value in pooled_value.items()
        ]
        filled.imputed = [entry for entry in filled.imputed if entry["missing"]]
    for row, examples in enumerate((*train, everyone)):
        values = (filled.own if row < num_clients else filled.pooled)[examples]
        filled.scale[row], filled.shift[row], filled.wide[row] = _standardise(values)
    return filled


def _with_gaps(features: np.ndarray) -> list[int]:
    return np.flatnonzero(np.isnan(features).any(axis=0)).tolist()


def _fill_client(
    own: np.ndarray,
    client: int,
    mine: Mapping[str, np.ndarray],
    names: Sequence[str],
    is_categorical: np.ndarray,
    pooled_value: Mapping[int, float],
) -> list[dict[str, Any]]:
    """Fill in one client's gaps in ``own`` and return what was done."""
    entries = []
    lacking = np.isnan(own[np.concatenate(list(mine.values()))]).any(axis=0)
    for j, pooled in pooled_value.items():
        if not lacking[j]:
            continue
        value, source = _typical(own[mine["client_train"], j], is_categorical[j]), "client"
        if np.isnan(value):
            value, source = pooled, "pooled"
        for scope, examples in mine.items():
            gaps = examples[np.isnan(own[examples, j])]
            own[gaps, j] = value
            entries.append(_entry(client, names[j], scope, len(gaps), value, source))
    return entries


def _entry(client: int | None, feature: str, scope: str, missing: int, value: float, source: str) -> dict[str, Any]:
    return {"client": client, "feature": feature, "scope": scope, "missing": missing, "value": value, "source": source}


def _typical(values: np.ndarray, categorical: bool) -> float:
    """Return the median, or the most frequent value, of those that are not missing; NaN if all are."""
    known = values[~np.isnan(values)]
    if len(known) == 0:
        return float("nan")
    if not categorical:
        return float(np.median(known))
    kinds, counts = np.unique(known, return_counts=True)
    return float(kinds[counts.argmax()])


def _standardise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return scale and shift of every column, and whether float32 is too coarse to apply them."""
    # By powers of two, so that squares of huge and tiny numbers are finite and not 0; of float32 all are in float64.
    power = np.frexp(np.abs(values).max(axis=0))[1] if values.dtype == np.float64 else np.zeros(values.shape[1], int)
    near_one = np.ldexp(values, -power) if values.dtype == np.float64 else values
    mean, std = near_one.mean(axis=0, dtype=np.float64), near_one.std(axis=0, dtype=np.float64)
    # A spread below the resolution of the mean is rounding, not information.
    constant = std <= (1e-7 if values.dtype == np.float32 else 1e-15) * np.abs(mean)
    wide = values.dtype != np.float32 or bool((np.abs(mean) > LARGEST_SHIFT * std)[~constant].any())
    std = np.where(constant, np.ldexp(1.0, -power), std)
    return np.ldexp(1 / std, -power), -mean / std, wide
