"""How well a classifier tells a client's records of one class from the others': held-out scores, and permuted ones."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metrics.readouts.halves.half_smoother import HalfSmoother, half_smoothers, joined

_EXAMPLES_PER_DEGREE = 8.0
# Random features beside the linear ones: what differs in spread but not in mean is found, too.
_RANDOM_FEATURES = 64


@dataclass(frozen=True)
class Separation:
    """A ridge classifier on linear and random Fourier features, fitted to one half of some records for the other half.

    Attributes:
        own: which of the records are the client's, shape (n,), bool.
        halves: 0 or 1 for each record, shape (n,).
        smoothers: the fits to either half, whatever is predicted.
    """

    own: np.ndarray
    halves: Tensor
    smoothers: tuple[HalfSmoother, HalfSmoother]

    @classmethod
    def of(cls, features: np.ndarray, own: np.ndarray, generator: np.random.Generator) -> "Separation":
        """Return the classifier of some records, halved at random.

        Args:
            features: shape (n, d).
            own: which are the client's, shape (n,), bool.
            generator: what halves and random features are drawn from.
        """
        halves = torch.from_numpy(generator.permutation(np.arange(len(own)) % 2))
        rows = np.hstack([features / math.sqrt(features.shape[1]), _random_features(features, generator)])
        return cls(own, halves, half_smoothers(torch.from_numpy(rows), halves, _EXAMPLES_PER_DEGREE))

    @property
    def share(self) -> float:
        """How much it counts beside others: the harmonic mean of the numbers of records of both sides, halved."""
        return float(self.own.sum() * (~self.own).sum() / len(self.own))

    @property
    def observed(self) -> float:
        """2 AUC − 1 of the held-out scores, 0 (not told apart) … 1; NaN if no half has records of both sides."""
        return float(self._separations(torch.from_numpy(self.own)[:, None])[0])

    def permuted(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """Return the same for so many permutations of who is the client, the halves staying, shape (count,)."""
        orders = generator.permuted(np.tile(np.arange(len(self.own))[:, None], count), axis=0)
        found: np.ndarray = np.nan_to_num(self._separations(torch.from_numpy(self.own[orders])))
        return found

    def _separations(self, members: Tensor) -> np.ndarray:
        scores = joined(self.smoothers, members.double())
        found, halves = torch.zeros(members.shape[1], dtype=torch.float64), torch.zeros(members.shape[1])
        for half in (0, 1):
            inside, order = members[self.halves == half].T, scores[self.halves == half].T.argsort(1)
            positive, size = inside.sum(1).double(), inside.shape[1]
            known = (positive > 0) & (positive < size)
            # Whole numbers, whose sums are exact in any order.
            rank_sum = inside.gather(1, order).double() @ torch.arange(1.0, size + 1, dtype=torch.float64)
            area = (rank_sum - positive * (positive + 1) / 2) / (positive * (size - positive))
            found += torch.where(known, 2 * area - 1, 0.0)
            halves += known
        separations: np.ndarray = (found / halves).numpy()
        return separations


def _random_features(features: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return random Fourier features of a Gaussian kernel whose width is the median distance."""
    rows = torch.from_numpy(features)
    width = float(torch.pdist(rows).median()) if len(rows) > 1 else 1.0
    frequencies = generator.standard_normal((features.shape[1], _RANDOM_FEATURES)) / (width or 1.0)
    phases = generator.uniform(0, 2 * np.pi, _RANDOM_FEATURES)
    found: np.ndarray = np.sqrt(2 / _RANDOM_FEATURES) * np.cos(features @ frequencies + phases)
    return found
