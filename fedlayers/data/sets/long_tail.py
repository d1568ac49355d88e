"""Long-tailed versions of balanced data sets: fewer and fewer training examples from class to class."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check, finite
from fedlayers.core.seeding import numpy_generator
from fedlayers.data.sets import mnist
from fedlayers.data.sets.cifar10 import Cifar10
from fedlayers.data.source import Arrays, Source


class LongTailed:
    """A data set of whose training examples class c keeps n μ^(−c/(C−1)), rounded down and at least 1.

    n is the number of training examples of the smallest class, C the number of classes and μ the imbalance: the first
    class keeps n, the last n/μ. Which examples stay is drawn once, the same in all runs, and more of them hold the
    fewer. The test set stays as it is.

    Args:
        source: the whole data set.
        imbalance: μ, 1 or more; 1 keeps n examples of every class.

    References:
        Cui, Jia, Lin, Song & Belongie 2019, Class-Balanced Loss Based on Effective Number of Samples, CVPR, arXiv
        1901.05555 (section 5.1).
    """

    def __init__(self, source: Source, imbalance: float) -> None:
        check(finite(imbalance) and imbalance >= 1, "dataset.imbalance", "1 or more (1 is balanced)", imbalance)
        self.source, self.imbalance = source, imbalance

    def files(self, root: Path) -> Sequence[Path]:
        """Return the files of the whole data set."""
        return self.source.files(root)

    def read(self, root: Path) -> Arrays:
        """Return the training examples that stay, and all test examples."""
        whole = self.source.read(root)
        training = len(whole.labels) - whole.facts.num_test
        kept = long_tail(whole.labels[:training], len(whole.facts.classes), self.imbalance)
        chosen = np.concatenate([kept, np.arange(training, len(whole.labels))])
        groups = None if whole.groups is None else whole.groups[chosen]
        return replace(whole, features=whole.features[chosen], labels=whole.labels[chosen], groups=groups)


def long_tail(labels: np.ndarray, classes: int, imbalance: float) -> np.ndarray:
    """Return which examples stay, ascending, see :class:`LongTailed`.

    Args:
        labels: shape (n,).
        classes: C.
        imbalance: μ.

    >>> labels = np.repeat([0, 1, 2], 100)
    >>> np.bincount(labels[long_tail(labels, 3, 100.0)]).tolist()
    [100, 10, 1]
    """
    counts = np.bincount(labels, minlength=classes)
    profile = imbalance ** (-np.arange(classes) / max(classes - 1, 1))
    wanted = np.maximum(np.floor(counts.min() * profile + 1e-9), 1).astype(np.int64)
    order = numpy_generator(0, "long_tail").permutation(len(labels))
    return np.sort(np.concatenate([order[labels[order] == c][: wanted[c]] for c in range(classes)]))


def fashion_mnist(imbalance: float = 100.0) -> LongTailed:
    """Return Fashion-MNIST with a long tail."""
    return LongTailed(mnist.fashion_mnist(), imbalance)


def handwritten_digits(imbalance: float = 100.0) -> LongTailed:
    """Return MNIST with a long tail."""
    return LongTailed(mnist.mnist(), imbalance)


def cifar10(imbalance: float = 100.0) -> LongTailed:
    """Return CIFAR-10 with a long tail, known as CIFAR-10-LT."""
    return LongTailed(Cifar10(), imbalance)
