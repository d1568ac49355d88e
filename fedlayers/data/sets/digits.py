"""The 1,797 digits of 8×8 pixels that come with scikit-learn: real data without a download."""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.data.source import Arrays, DatasetFacts


class Digits:
    """Handwritten digits of 43 people, images of 8×8 pixels with values 0 to 16; no official test set.

    References:
        Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, doi:10.24432/C50P49.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return no files: the data is part of scikit-learn."""
        return ()

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (1797, 1, 8, 8)."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        facts = DatasetFacts(tuple(string.digits), mean=(4.884,), std=(6.017,))
        return Arrays(bunch.images.astype(np.uint8)[:, None], bunch.target.astype(np.int64), facts)
