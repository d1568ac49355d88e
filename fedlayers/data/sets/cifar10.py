"""CIFAR-10 in its binary distribution."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.data.download import Download, fetch
from fedlayers.data.source import Arrays, DatasetFacts, damaged

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
EXAMPLE_BYTES = 1 + 3 * 32 * 32


class Cifar10:
    """Colour images of 32×32 pixels: five training files and one test file with any number of examples each.

    The binary distribution, not the Python one, because that is made of pickles.

    References:
        Krizhevsky 2009, Learning multiple layers of features from tiny images.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the six files; those that are missing are downloaded."""
        folder = "cifar-10-batches-bin"
        members = (*(f"{folder}/data_batch_{number}.bin" for number in range(1, 6)), f"{folder}/test_batch.bin")
        url, md5 = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
        return fetch("CIFAR10", [Download(url, folder, md5, members)], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 3, 32, 32), training images first."""
        mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
        return images_of([read_images(path, len(CLASSES)) for path in self.files(root)], CLASSES, mean, std)


def images_of(
    parts: Sequence[np.ndarray], classes: Sequence[str], mean: Sequence[float], std: Sequence[float]
) -> Arrays:
    """Return the examples of several files as images, shape (n, 3, 32, 32).

    Args:
        parts: what :func:`read_images` gives of each; the last one is for testing.
        classes: their names, in the order of the labels.
        mean: of each colour where pixels go from 0 to 1.
        std: likewise.
    """
    examples = np.concatenate(parts)
    facts = DatasetFacts(
        tuple(classes),
        num_test=len(parts[-1]),
        mean=tuple(255 * value for value in mean),
        std=tuple(255 * value for value in std),
    )
    return Arrays(examples[:, 1:].reshape(-1, 3, 32, 32), examples[:, 0].astype(np.int64), facts)


def read_images(path: Path, classes: int, labels: int = 1, place: int = 0) -> np.ndarray:
    """Return a file's examples, shape (n, 3073): a label byte, then 1,024 bytes each of red, green and blue.

    Args:
        path: the file.
        classes: how many classes there are.
        labels: bytes of labels before the pixels.
        place: of the one that is kept, from 0.

    Raises:
        UserError: it holds something else.
    """
    data = np.fromfile(path, np.uint8)
    size = EXAMPLE_BYTES + labels - 1
    if len(data) == 0 or len(data) % size:
        raise damaged(path, f"{len(data)} bytes are not a whole number of examples of {size} bytes")
    rows = data.reshape(-1, size)
    examples = rows[:, labels - 1 :] if place == labels - 1 else np.delete(rows, np.s_[place + 1 : labels], 1)
    if examples[:, 0].max() >= classes:
        raise damaged(path, f"label {examples[:, 0].max()} where there are {classes} classes")
    return examples
