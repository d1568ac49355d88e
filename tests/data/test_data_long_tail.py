"""Long tails: the counts of the paper, of training examples alone, the same examples whenever they are asked for."""

from pathlib import Path

import numpy as np
import pytest

from fedlayers.core.errors import UserError
from fedlayers.data.sets.long_tail import LongTailed, cifar10, fashion_mnist, handwritten_digits, long_tail
from fedlayers.data.sets.mnist import fashion_mnist as whole_fashion_mnist
from tests.support.data_configs import write_mnist_like

# CIFAR-10-LT as published: https://github.com/richardaecn/class-balanced-loss.
PUBLISHED = {
    100: [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50],
    10: [5000, 3871, 2997, 2320, 1796, 1391, 1077, 834, 645, 500],
    1: [5000] * 10,
}


@pytest.mark.parametrize("imbalance", PUBLISHED)
def test_counts_are_the_published_ones(imbalance: int) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    assert np.bincount(labels[long_tail(labels, 10, imbalance)]).tolist() == PUBLISHED[imbalance]


def test_a_longer_tail_is_part_of_a_shorter_one_and_every_class_keeps_an_example() -> None:
    labels = np.arange(500) % 5
    longer, shorter, again = (set(long_tail(labels, 5, mu).tolist()) for mu in (1000.0, 10.0, 1000.0))
    assert longer == again and longer < shorter
    assert np.bincount(labels[sorted(longer)]).tolist() == [100, 17, 3, 1, 1]


def test_the_test_set_stays_and_what_stays_is_as_it_was(tmp_path: Path) -> None:
    prefixes = ("train", "t10k")
    write_mnist_like(tmp_path / "FashionMNIST" / "raw", prefixes, 10)
    whole, long = whole_fashion_mnist().read(tmp_path), fashion_mnist(6.0).read(tmp_path)
    assert long.facts == whole.facts and long.facts.num_test == 30
    np.testing.assert_array_equal(long.labels[-30:], whole.labels[-30:])
    assert np.bincount(long.labels[:-30]).tolist() == [6, 4, 4, 3, 2, 2, 1, 1, 1, 1]
    kept = {(image.tobytes(), label) for image, label in zip(long.features, long.labels.tolist(), strict=True)}
    assert kept <= {
        (image.tobytes(), label) for image, label in zip(whole.features, whole.labels.tolist(), strict=True)
    }


def test_all_three_are_there_and_other_factors_are_refused() -> None:
    assert all(isinstance(make(), LongTailed) for make in (fashion_mnist, handwritten_digits, cifar10))
    with pytest.raises(UserError, match=r"dataset.imbalance must be 1 or more \(1 is balanced\), got 0.5"):
        cifar10(0.5)
