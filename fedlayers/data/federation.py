"""A federation's data: who holds which records, and how batches are drawn from memory-mapped arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Records:
    """Some records of a data set: positions into shared (memory-mapped) arrays.

    Attributes:
        features: all records' features, shape (n_all, *shape): uint8 images (c, h, w) or float32 rows (d,).
        labels: all records' labels, shape (n_all,), int64.
        index: positions of these records, shape (n,), int64.
        scale, shift: ``x * scale + shift`` normalises float features; shape broadcastable to ``shape``.
    """

    features: Tensor
    labels: Tensor
    index: Tensor
    scale: Tensor
    shift: Tensor

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.index)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised float32 features (b, *shape) and labels (b,) of the records at ``positions`` (b,)."""
        chosen = self.index[positions]
        features = self.features[chosen].to(torch.float32).mul_(self.scale).add_(self.shift)
        return features, self.labels[chosen]


@dataclass(frozen=True)
class Federation:
    """All data of one run.

    Attributes:
        name: the data set's name.
        classes: class names, in the order of the labels.
        shape: one record's feature shape.
        client_names: a name per client (``"cleveland"``, a writer, or the index as text).
        splits: scope (``client_train``, ``client_val``, ``client_test``) -> one ``Records`` per client (maybe empty).
        server_test: the server's own test set.
        pooled_train: all clients' training records together (for centralized training).
        imputed: one row per filled-in feature of a client: client, feature, scope, missing (count), value.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    client_names: tuple[str, ...]
    splits: Mapping[str, Sequence[Records]]
    server_test: Records
    pooled_train: Records
    imputed: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def num_clients(self) -> int:
        """The number of clients."""
        return len(self.client_names)

    def of(self, client: int) -> dict[str, Records]:
        """Return one client's records by scope, leaving out empty splits."""
        return {scope: parts[client] for scope, parts in self.splits.items() if len(parts[client])}

    def label_counts(self) -> pd.DataFrame:
        """Return the label counts: columns client, client_name, scope, label, label_name, records (zeros included)."""
        rows = []
        for scope, parts in self.splits.items():
            for client, records in enumerate(parts):
                counts = np.bincount(records.labels[records.index].numpy(), minlength=len(self.classes))
                rows += [
                    (client, self.client_names[client], scope, label, name, int(count))
                    for label, (name, count) in enumerate(zip(self.classes, counts, strict=True))
                ]
        return pd.DataFrame(rows, columns=["client", "client_name", "scope", "label", "label_name", "records"])
