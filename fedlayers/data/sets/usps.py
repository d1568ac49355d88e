"""USPS: handwritten digits of postal codes, in LIBSVM's text format."""

import bz2
import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.data.download import Download, fetch
from fedlayers.data.source import Arrays, DatasetFacts, damaged

ADDRESS = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"
SIDE = 16


class Usps:
    """Grey images of 16×16 pixels from −1 to 1: 7,291 for training and 2,007 for testing.

    A line is a class, 1 for digit 0, and 256 numbered pixels. They are kept as floats, as the files have them.

    References:
        Hull 1994, A Database for Handwritten Text Recognition Research, IEEE TPAMI 16.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the two files; those that are missing are downloaded."""
        md5s = {"usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197", "usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118"}
        return fetch("USPS", [Download(ADDRESS + file, "usps", md5) for file, md5 in md5s.items()], root)

    def read(self, root: Path) -> Arrays:
        """Return all images, shape (n, 1, 16, 16), training images first."""
        parts = [_read(path) for path in self.files(root)]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Arrays(images, labels, DatasetFacts(tuple(string.digits), num_test=len(parts[1][1])))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a file's images (n, 1, 16, 16) and digits (n,)."""
    try:
        lines = bz2.decompress(path.read_bytes()).decode("ascii").split("\n")
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, str(error)) from error
    numbered = [(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise damaged(path, "it has no lines")
    rows = np.array([_row(words, path, number) for number, words in numbered], np.float32)
    return rows[:, 1:].reshape(-1, 1, SIDE, SIDE), rows[:, 0].astype(np.int64) - 1


def _row(words: Sequence[str], path: Path, line: int) -> list[float]:
    """Return a line's class and its 256 pixels."""
    pairs = [word.partition(":") for word in words[1:]]
    try:
        label, places, pixels = int(words[0]), [int(place) for place, _, _ in pairs], [float(v) for _, _, v in pairs]
    except ValueError as error:
        raise damaged(path, f"line {line}: {error}") from error
    if not 1 <= label <= 10 or places != list(range(1, SIDE * SIDE + 1)):
        raise damaged(path, f"line {line} is not a class from 1 to 10 and {SIDE * SIDE} numbered pixels")
    return [label, *pixels]
