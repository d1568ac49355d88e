"""What a client shows of its records, and what the others' say about them: votes and support."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor

# Neighbours that vote.
_NEIGHBOURS = 5
# Records of the reference whose distance to its neighbours is larger count as out of support.
_SUPPORT = 0.95
# More would make tests slower, not different.
MOST_RECORDS, MOST_REFERENCE = 500, 1000


@dataclass(frozen=True)
class LabelledRecords:
    """Records of one client.

    Attributes:
        features: representations by one model that all clients have in common, or raw features, shape (n, d).
        labels: classes from 0, shape (n,), int64.
    """

    features: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, features: Array, labels: Array) -> "LabelledRecords":
        """Return checked records.

        Args:
            features: shape (n, …), finite.
            labels: classes from 0, shape (n,).

        Raises:
            ValueError: there is not one label for each record, or something is not finite.
        """
        rows = as_tensor(features, "features").flatten(1).double().cpu().numpy()
        known = as_tensor(labels, "labels").long().cpu().numpy()
        if known.shape != (len(rows),) or not len(rows):
            raise ValueError(f"labels must name the class of each of {len(rows)} records, 1 or more, got {known.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("features must be finite, got NaN or infinity")
        if known.min() < 0:
            raise ValueError(f"labels must be classes from 0, got {known.min()}")
        return cls(rows, known)

    def some(self, most: int, generator: np.random.Generator) -> "LabelledRecords":
        """Return at most so many of the records, drawn at random, in their order."""
        if len(self.labels) <= most:
            return self
        drawn = np.sort(generator.choice(len(self.labels), most, replace=False))
        return LabelledRecords(self.features[drawn], self.labels[drawn])


@dataclass(frozen=True)
class ComparedRecords:
    """A client's records and the others', and what a reference says about both.

    The others' records are halved: one half is the reference, the other is compared with the client. So both sides are
    strange to the reference in the same way.

    Attributes:
        features: standardised by the reference, shape (n, d).
        labels: shape (n,).
        is_client: shape (n,), bool.
        votes: the class of most of the 5 nearest records of the reference, shape (n,).
        supported: whether these are as near as the neighbours of 95 % of the reference's own records, shape (n,), bool.
    """

    features: np.ndarray
    labels: np.ndarray
    is_client: np.ndarray
    votes: np.ndarray
    supported: np.ndarray

    @property
    def strata(self) -> np.ndarray:
        """A number for each combination of label and vote, shape (n,)."""
        found: np.ndarray = self.labels * (max(self.votes.max(), self.labels.max()) + 1) + self.votes
        return found


def compared(
    client: LabelledRecords, others: Sequence[LabelledRecords], generator: np.random.Generator
) -> ComparedRecords:
    """Return a client's records beside the others', drawn and halved at random.

    Args:
        client: the client in question.
        others: all others; together 20 records or more.
        generator: what is drawn from.

    Raises:
        ValueError: the others have too few records, or their features are of another size.
    """
    sizes = {one.features.shape[1] for one in (client, *others)}
    if len(sizes) > 1:
        raise ValueError(f"features of all clients must be of one size, got {', '.join(map(str, sorted(sizes)))}")
    rest = LabelledRecords(
        np.concatenate([one.features for one in others]), np.concatenate([one.labels for one in others])
    )
    if len(rest.labels) < 20:
        raise ValueError(f"the others must have 20 records or more together, got {len(rest.labels)}")
    order = generator.permutation(len(rest.labels))
    size = min(MOST_REFERENCE, len(order) // 2)
    reference, beside = order[:size], order[size : size + MOST_RECORDS]
    own = client.some(MOST_RECORDS, generator)
    mean, scale = rest.features[reference].mean(0), rest.features[reference].std(0)
    scale[scale == 0] = 1.0
    known = (rest.features[reference] - mean) / scale
    features = (np.concatenate([own.features, rest.features[beside]]) - mean) / scale
    votes, supported = _looked_up(features, known, rest.labels[reference])
    labels = np.concatenate([own.labels, rest.labels[beside]])
    return ComparedRecords(features, labels, np.arange(len(labels)) < len(own.labels), votes, supported)


def _looked_up(features: np.ndarray, known: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the votes of the nearest known records, and whether these are near."""
    among = torch.from_numpy(known)
    count = min(_NEIGHBOURS, len(known) - 1)
    distances, places = torch.cdist(torch.from_numpy(features), among).topk(count, largest=False)
    # A record is no neighbour of its own.
    own = torch.cdist(among, among).fill_diagonal_(torch.inf).topk(count, largest=False).values.mean(1)
    near = distances.mean(1) <= torch.quantile(own, _SUPPORT)
    return _majority(torch.from_numpy(labels)[places]), near.numpy()


def _majority(neighbours: Tensor) -> np.ndarray:
    """Return the most frequent label of each row; of equally frequent ones that of the nearest record."""
    counts = (neighbours[:, :, None] == neighbours[:, None, :]).sum(2)
    winner: np.ndarray = neighbours.gather(1, counts.argmax(1, keepdim=True))[:, 0].numpy()
    return winner
