"""Music and the emotions it evokes: a small multi-label data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.data.by_hand import by_hand
from fedlayers.data.formats.arff import read_arff
from fedlayers.data.source import Arrays, DatasetFacts, damaged

LABELS = 6


class Emotions:
    """593 songs, 72 numbers about rhythm and timbre each, and which of six emotions they evoke; no official test set.

    The file is Mulan's ``emotions.arff``, plain or gzipped: the last six attributes, 0 or 1, are the labels.

    References:
        Trohidis, Tsoumakas, Kalliris & Vlahavas 2008, Multi-Label Classification of Music into Emotions, ISMIR;
        Tsoumakas, Spyromitros-Xioufis, Vilcek & Vlahavas 2011, Mulan: A Java Library for Multi-Label Learning, JMLR 12.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the file; it is in an archive of a kind (``.rar``) that has to be unpacked by hand."""
        page = "https://mulan.sourceforge.net/datasets-mlc.html"
        how = "unpack emotions.rar; emotions.arff has 593 rows of 78 values, of which the last six are labels"
        return by_hand("emotions", root, ["emotions/emotions.arff.gz"], page, how)

    def read(self, root: Path) -> Arrays:
        """Return all songs, shape (n, 72)."""
        (path,) = self.files(root)
        table = read_arff(path)
        columns, labels = table.attributes[:-LABELS], table.attributes[-LABELS:]
        sets = table.rows[:, -LABELS:]
        if len(columns) < 1 or any(label.values != ("0", "1") for label in labels) or np.isnan(sets).any():
            raise damaged(path, f"its last {LABELS} attributes are not all 0 or 1")
        names, features = tuple(label.name for label in labels), table.rows[:, :-LABELS].astype(np.float32)
        return Arrays(features, sets.astype(np.int64), DatasetFacts(names, columns=tuple(one.name for one in columns)))
