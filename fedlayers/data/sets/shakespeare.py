"""Shakespeare: the next character of a line, by who speaks it, from LEAF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.core.kinds.tokens import RESERVED, UNKNOWN
from fedlayers.data.formats.leaf import leaf_files, read_leaf
from fedlayers.data.source import Arrays, DatasetFacts, damaged

# LEAF's, in its order: the labels.
LETTERS = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"
LENGTH = 80


class Shakespeare:
    """80 characters of a role's lines, and which of 80 characters is next; every role is a natural group.

    The files are LEAF's JSON, ``shakespeare/train/*.json`` and ``shakespeare/test/*.json``. Examples are token data
    with the characters themselves as vocabulary; other characters are unknown.

    References:
        Caldas et al. 2018, LEAF: A Benchmark for Federated Settings, arXiv 1812.01097; McMahan et al. 2017,
        Communication-Efficient Learning of Deep Networks from Decentralized Data, arXiv 1602.05629.
    """

    def files(self, root: Path) -> Sequence[Path]:
        """Return the JSON files, which LEAF's program makes."""
        return leaf_files("shakespeare", root)

    def read(self, root: Path) -> Arrays:
        """Return all examples' characters by their codes, shape (n, 80), those of the test files last."""
        files = self.files(root)
        found = read_leaf(files)
        place = {letter: code for code, letter in enumerate(LETTERS)}
        if not all(isinstance(text, str) and len(text) == LENGTH for text in found.inputs):
            raise damaged(files[0].parent, f"an example is no text of {LENGTH} characters")
        if not all(isinstance(letter, str) and letter in place for letter in found.labels):
            raise damaged(files[0].parent, "a label is none of LEAF's 80 characters")
        first = len(RESERVED)
        codes = np.array([[place.get(c, UNKNOWN - first) + first for c in text] for text in found.inputs], np.int32)
        labels = np.array([place[letter] for letter in found.labels])
        names = tuple({"\n": "new line", " ": "space"}.get(letter, letter) for letter in LETTERS)
        facts = DatasetFacts(names, found.num_test, found.users, vocabulary=(*RESERVED, *names))
        return Arrays(codes, labels, facts, found.groups)
