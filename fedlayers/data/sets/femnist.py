"""FEMNIST: handwritten digits and letters by who wrote them, from LEAF."""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.data.formats.leaf import leaf_files, read_leaf
from fedlayers.data.source import Arrays, DatasetFacts, damaged

CLASSES = tuple(string.digits + string.ascii_uppercase + string.ascii_lowercase)
SIDE = 28


class Femnist:
    """Grey images of 28×28 pixels of 62 digits and letters; every writer is a natural group.

    The files are LEAF's JSON, ``femnist/train/*.json`` and ``femnist/test/*.json``: 784 numbers from 0 (ink) to 1
    (paper) an image, kept as bytes.

    References:
        Caldas et al. 2018, LEAF: A Benchmark for Federated Settings, arXiv 1812.01097; Cohen et al. 2017, EMNIST,
        arXiv 1702.05373.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the JSON files, which LEAF's program makes."""
        return leaf_files("femnist", root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 1, 28, 28), those of the test files last."""
        files = self.files(root)
        found = read_leaf(files, compact=_bytes)
        known = range(len(CLASSES))
        if not all(isinstance(label, int) and label in known for label in found.labels):
            raise damaged(files[0].parent, f"labels are not all whole numbers from 0 to {known[-1]}")
        labels = np.array(found.labels, np.int64)
        images = np.stack(found.inputs).reshape(-1, 1, SIDE, SIDE)
        return Arrays(images, labels, DatasetFacts(CLASSES, found.num_test, found.users), found.groups)


def _bytes(images: Sequence[Sequence[float]]) -> list[np.ndarray]:
    """Return images of numbers from 0 to 1 as bytes, each of shape (784,).

    Raises:
        ValueError: they are something else.
    """
    if not images:
        return []
    pixels = np.array(images, np.float32).reshape(len(images), -1)
    if pixels.shape[1] != SIDE * SIDE or not ((pixels >= 0) & (pixels <= 1)).all():
        raise ValueError(f"images are not {SIDE * SIDE} numbers from 0 to 1")
    return list(np.rint(pixels * 255).astype(np.uint8))
