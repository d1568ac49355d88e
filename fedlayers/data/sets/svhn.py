"""SVHN: digits of house numbers, in MATLAB files."""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.data.download import Download, fetch
from fedlayers.data.source import Arrays, DatasetFacts, damaged

ADDRESS = "http://ufldl.stanford.edu/housenumbers/"


class Svhn:
    """Colour images of 32×32 pixels, the digit in the middle: 73,257 for training and 26,032 for testing.

    The cropped digits (format 2). The files write digit 0 as 10.

    References:
        Netzer, Wang, Coates, Bissacco, Wu & Ng 2011, Reading Digits in Natural Images with Unsupervised Feature
        Learning, NIPS workshop.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the two files; those that are missing are downloaded."""
        md5s = {"train": "e26dedcc434d2e4c54c9b2d4a06d8373", "test": "eb5a983be6a315427106f1b164d9cef3"}
        downloads = [Download(f"{ADDRESS}{part}_32x32.mat", "svhn", md5) for part, md5 in md5s.items()]
        return fetch("SVHN", downloads, root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 3, 32, 32), training images first."""
        parts = [_read(path) for path in self.files(root)]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Arrays(images, labels, DatasetFacts(tuple(string.digits), num_test=len(parts[1][1])))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a file's images (n, 3, 32, 32) and digits (n,)."""
    from scipy.io import loadmat

    try:
        content = loadmat(path, variable_names=["X", "y"])
        images, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # the reader of an old format raises whatever it likes
        raise damaged(path, f"{type(error).__name__}: {error}") from error
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)) or not len(labels):
        raise damaged(path, f"X is {images.dtype} of shape {images.shape} with {len(labels)} labels")
    if labels.min() < 1 or labels.max() > 10:
        raise damaged(path, f"labels from {labels.min()} to {labels.max()} where 1 to 10 are expected")
    return images.transpose(3, 2, 0, 1), labels % 10
