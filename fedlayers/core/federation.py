"""A federation's data: who holds which examples, and how batches are drawn from arrays in memory or on a card."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import SupportsIndex, overload

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fedlayers.core.kinds.labels import is_label_set, occurrences
from fedlayers.core.kinds.tokens import blank, is_tokens, normalised
from fedlayers.core.planted import Planted, Planting


@dataclass(frozen=True)
class Examples:
    """Some examples of a data set: positions into shared arrays, memory-mapped or on the card that computes.

    Attributes:
        features: all examples' features, shape (n_all, *shape): images (c, h, w) or rows (d,), bytes or floats; or
            tokens (length,), integers.
        labels: all examples' labels, int64, on the device of the features: classes, shape (n_all,), or label sets,
            shape (n_all, C), 0 and 1.
        index: positions of these examples, shape (n,), int64, on the CPU.
        scale, shift: ``x * scale + shift`` normalises features; shape broadcastable to ``shape``. Computed in their
            dtype, float64 where float32 would lose digits, on the device of the features.
        planted: what a planted group changes in these examples, in the order of ``index``; None for nothing.
    """

    features: Tensor
    labels: Tensor
    index: Tensor
    scale: Tensor
    shift: Tensor
    planted: Planted | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.index)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised float32 features (b, *shape), or int64 tokens, and the labels (b,) or (b, C) of examples.

        ``positions`` (b,) are integers from 0 to the number of examples - 1, in any order, on the CPU; what comes is
        where the arrays are, and does not wait for that device.
        """
        # index_select, because it takes 40 % of the time of indexing with brackets.
        chosen = self.index.index_select(0, positions).to(self.features.device, non_blocking=True)
        features = normalised(self.features.index_select(0, chosen), self.scale, self.shift)
        labels = self.labels.index_select(0, chosen)
        if self.planted is None:
            return features, labels
        planted = self.planted.take(positions)
        return planted.turned(features), planted.labelled(labels)

    def targets(self, positions: Tensor | None = None) -> Tensor:
        """Return the labels of all these examples, shape (n,) or (n, C), or of ``positions``, as in :meth:`batch`.

        They are on the CPU; no features are read.
        """
        own = self if positions is None else self.take(positions)
        labels = self.labels.index_select(0, own.index.to(self.labels.device)).cpu()
        return labels if own.planted is None else own.planted.labelled(labels)

    def take(self, positions: Tensor) -> "Examples":
        """Return some of these examples; ``positions`` (b,) as in :meth:`batch`."""
        planted = None if self.planted is None else self.planted.take(positions)
        return replace(self, index=self.index.index_select(0, positions), planted=planted)


@dataclass(frozen=True)
class Normalisation:
    """How each client's features are normalised; of many clients only those that are asked for are looked at.

    Attributes:
        scale, shift: a row per client and, last, one for the server, shape (clients + 1, d); or one row for all.
        wide: who computes ``x * scale + shift`` in float64, shape (clients + 1,) or (1,).
    """

    scale: np.ndarray
    shift: np.ndarray
    wide: np.ndarray

    def of(self, client: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return scale and shift of a client, on a device; -1 is the server."""
        row = client if len(self.wide) > 1 else 0
        dtype = torch.float64 if self.wide[row] else torch.float32
        scale, shift = (torch.from_numpy(numbers[row]).to(device, dtype) for numbers in (self.scale, self.shift))
        return scale, shift


@dataclass(frozen=True)
class ClientExamples(Sequence[Examples]):
    """The examples of one scope, client by client: arrays for all clients, a :class:`Examples` for who is asked for.

    Attributes:
        features, labels: see :class:`Examples`.
        positions: of all clients' examples in those arrays, client by client, shape (n,).
        bounds: where each client's begin in ``positions``, shape (clients + 1,).
        normalisation: of their features.
        planting: the planted groups; None if there are none.
    """

    features: Tensor
    labels: Tensor
    positions: Tensor
    bounds: np.ndarray
    normalisation: Normalisation
    planting: Planting | None = None

    def __len__(self) -> int:
        """Return the number of clients."""
        return len(self.bounds) - 1

    @overload
    def __getitem__(self, client: SupportsIndex) -> Examples: ...

    @overload
    def __getitem__(self, client: slice) -> list[Examples]: ...

    def __getitem__(self, client: SupportsIndex | slice) -> Examples | list[Examples]:
        """Return the examples of a client, or of some, by number."""
        if isinstance(client, slice):
            return [self[one] for one in range(len(self))[client]]
        number = range(len(self))[client]
        first, last = self.bounds[number : number + 2].tolist()
        planted = None if self.planting is None else self.planting.of([number], [last - first])
        normalisation = self.normalisation.of(number, self.features.device)
        return Examples(self.features, self.labels, self.positions[first:last], *normalisation, planted=planted)

    def __iter__(self) -> Iterator[Examples]:
        """Yield the examples of every client."""
        return (self[client] for client in range(len(self)))

    @property
    def sizes(self) -> np.ndarray:
        """The number of examples of each client, shape (clients,)."""
        return np.diff(self.bounds)

    def together(self, features: Tensor, clients: Sequence[int] | None = None) -> Examples:
        """Return clients' examples as the server sees them.

        Args:
            features: see :class:`Examples`; filled in for the server.
            clients: whose; None for all.
        """
        chosen = range(len(self)) if clients is None else clients
        planted = None if self.planting is None else self.planting.of(chosen, self.sizes[list(chosen)].tolist())
        normalisation = self.normalisation.of(-1, features.device)
        positions = self.positions
        if len(chosen) < len(self):
            positions = torch.cat([positions[slice(*self.bounds[client : client + 2])] for client in chosen])
        return Examples(features, self.labels, positions, *normalisation, planted=planted)


@dataclass(frozen=True)
class Federation:
    """All data of one run.

    Attributes:
        name: the data set's name.
        classes: class names, in the order of the labels.
        shape: one example's feature shape.
        splits: scope (``client_train``, ``client_val``, ``client_test``) -> one ``Examples`` per client (maybe empty).
        server_test: the server's own test set; rows are normalised by all training examples together, where a
            client's are normalised by its own.
        pooled_train: the training examples of all clients that train together (for centralized training), rows
            normalised likewise.
        imputed: one row per filled-in feature of a client and scope: client (missing for the server), client_name,
            feature, scope, missing (count), value, source (``client``: its own training examples, or ``pooled``).
        notes: sentences about what was done to the data and what the partition leaves out; empty if nothing is.
        planted: the planted group of each client, see :mod:`fedlayers.data.partitioning.plant`; None if none
            were planted.
        digest: names the data's content: features, labels, groups, class names, and who holds which examples. The same
            on every machine; without what is normalised, filled in or planted, which the configuration decides.
        names: a name per client (``"cleveland"``, a writer); empty if they have no names but their numbers.
        unseen: clients that never train and are only evaluated, ascending.
        vocabulary: of token data, the word that each code stands for; empty for others.
        label_groups: of label sets, the group that each label belongs to; empty if there is one group.
        columns: names of the columns of rows; empty for images and tokens, and where they have no names.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    splits: Mapping[str, ClientExamples]
    server_test: Examples
    pooled_train: Examples
    imputed: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()
    planted: tuple[int, ...] | None = None
    digest: str = ""
    names: tuple[str, ...] = ()
    unseen: tuple[int, ...] = ()
    vocabulary: tuple[str, ...] = ()
    label_groups: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return what a person wants to know of the data; their arrays say nothing in print."""
        held = ", ".join(f"{scope} {int(parts.sizes.sum())}" for scope, parts in self.splits.items())
        return (
            f"<{self.name}: {self.num_clients} clients, {len(self.classes)} classes, shape {self.shape}, "
            f"examples: {held}, server_test {len(self.server_test)}>"
        )

    @property
    def num_clients(self) -> int:
        """The number of clients."""
        return len(self.splits["client_train"])

    @property
    def seen(self) -> list[int]:
        """The clients that may train, ascending: all but the unseen ones."""
        unseen = set(self.unseen)
        return [client for client in range(self.num_clients) if client not in unseen]

    @property
    def client_names(self) -> tuple[str, ...]:
        """A name per client, its number as text if it has no other."""
        return self.names or tuple(map(str, range(self.num_clients)))

    @property
    def has_tokens(self) -> bool:
        """Whether its examples are tokens."""
        return is_tokens(self.server_test.features)

    @property
    def has_label_sets(self) -> bool:
        """Whether several labels of an example may hold at once."""
        return is_label_set(self.server_test.labels)

    def blank(self, count: int, device: torch.device | None = None) -> Tensor:
        """Return examples to try a model out on, of the shape and kind of these; see :func:`kinds.tokens.blank`."""
        return blank(count, self.shape, self.has_tokens, device)

    def of(self, client: int) -> dict[str, Examples]:
        """Return one client's examples by scope, leaving out empty splits."""
        found = {scope: parts[client] for scope, parts in self.splits.items()}
        return {scope: examples for scope, examples in found.items() if len(examples)}

    def class_counts(self, client: int | None) -> Tensor:
        """Return how many training examples of each class a client has, or all that train (None); shape (C,), int64.

        Of label sets: in how many of them each label holds.
        """
        parts = self.splits["client_train"]
        examples = parts.together(parts.features, self.seen) if client is None else parts[client]
        return occurrences(examples.targets(), len(self.classes))

    def label_counts(self, listed: Sequence[int] | None = None) -> pd.DataFrame:
        """Return the label counts: columns client, client_name, scope, label, label_name, examples.

        What a client does not hold has no row, but for the first one, which has a row for every scope and label: there
        may be many clients and classes, and few examples of each client. Of label sets an example counts for every
        label that holds. A federation with planted groups has the column planted_group, too; its labels are those after
        planting.

        Args:
            listed: clients that have rows of their own, ascending, at least one; the others stand together in rows
                without a client. None for all.
        """
        everyone = range(self.num_clients)
        chosen = np.array(everyone if listed is None else listed)
        rows = np.full(len(everyone), len(chosen))
        rows[chosen] = np.arange(len(chosen))
        counts = np.stack([_count_labels(parts, rows, len(self.classes)) for parts in self.splits.values()])
        shown = counts > 0
        shown[:, 0] = True
        scopes, places, labels = np.nonzero(shown)
        names = self.names or everyone
        known = {"client": chosen, "client_name": [str(names[client]) for client in chosen]}
        if self.planted is not None:
            known["planted_group"] = np.array(self.planted)[chosen]
        clients = pd.DataFrame(known)
        if len(chosen) < len(everyone):
            clients = clients.convert_dtypes(convert_string=False).reindex(range(len(chosen) + 1))
            clients.loc[len(chosen), "client_name"] = "the others"
        table = clients.iloc[places].reset_index(drop=True)
        table.insert(2, "scope", np.array(list(self.splits), object)[scopes])
        table.insert(3, "label", labels)
        table.insert(4, "label_name", np.array(self.classes, object)[labels])
        table.insert(5, "examples", counts[shown])
        return table


def _count_labels(parts: ClientExamples, rows: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of examples of each row and label, shape (rows, classes); clients are in these rows."""
    labels = parts.together(parts.features).targets().numpy()
    owners = np.repeat(rows, parts.sizes)
    height = int(rows.max()) + 1
    if is_label_set(labels):
        counts = np.zeros((height, classes), np.int64)
        np.add.at(counts, owners, labels)
        return counts
    return np.bincount(owners * classes + labels, minlength=height * classes).reshape(height, classes)
