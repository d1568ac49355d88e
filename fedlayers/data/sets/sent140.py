"""Sent-140: is a short message glad or sad? By who wrote it, from LEAF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check
from fedlayers.core.kinds.tokens import RESERVED
from fedlayers.data.formats.leaf import leaf_files, read_leaf
from fedlayers.data.formats.words import tokens_of, words_of
from fedlayers.data.source import Arrays, DatasetFacts, damaged

# What stands in an example: number, time, query, user, text, and what comes after.
TEXT = 4


class Sent140:
    """Messages, negative or positive by their smileys, as tokens; users with many messages are natural groups.

    The files are LEAF's JSON, ``sent140/train/*.json`` and ``sent140/test/*.json``. The vocabulary is what the clients
    of a run agree on from their own training messages.

    Args:
        first: rank of the first user that is taken, by number of training messages, 1 or more. PLayer-FL's paper says
            the 15 most active ones; its program takes ranks 36 to 50.
        users: how many users, 1 or more.
        words: the most codes that the vocabulary may have, padding and unknown words among them, 3 or more.
        length: words of a message that are kept, the first ones, 1 or more.

    References:
        Go, Bhayani & Huang 2009, Twitter Sentiment Classification using Distant Supervision; Caldas et al. 2018, LEAF:
        A Benchmark for Federated Settings, arXiv 1812.01097.
    """

    def __init__(self, first: int = 1, users: int = 15, words: int = 5000, length: int = 40) -> None:
        check(first >= 1, "dataset.first", "1 or more", first)
        check(users >= 1, "dataset.users", "1 or more", users)
        check(words > len(RESERVED), "dataset.words", f"{len(RESERVED) + 1} or more", words)
        check(length >= 1, "dataset.length", "1 or more", length)
        self.chosen, self.words, self.length = slice(first - 1, first - 1 + users), words, length

    def files(self, root: Path) -> Sequence[Path]:
        """Return the JSON files, which LEAF's program makes."""
        return leaf_files("sent140", root)

    def read(self, root: Path) -> Arrays:
        """Return the chosen users' tokens, shape (n, length), those of the test files last."""
        files = self.files(root)
        found = read_leaf(files, self.chosen)
        if not found.users:
            check(False, "dataset.first", "at most the number of users in the files", self.chosen.start + 1)
        if not all(isinstance(x, list) and len(x) > TEXT and isinstance(x[TEXT], str) for x in found.inputs):
            raise damaged(files[0].parent, f"an example has no text in place {TEXT}")
        labels = np.array(found.labels)
        if labels.dtype.kind not in "iu" or not np.isin(labels, (0, 1)).all():
            raise damaged(files[0].parent, "a label is neither 0 nor 1")
        tokens, words = tokens_of([words_of(x[TEXT]) for x in found.inputs], self.length)
        facts = DatasetFacts(
            ("negative", "positive"), found.num_test, found.users, vocabulary=words, agreed_words=self.words
        )
        return Arrays(tokens, labels, facts, found.groups)
