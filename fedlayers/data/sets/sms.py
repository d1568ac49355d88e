"""The SMS Spam Collection: short messages, some of them unwanted advertising."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check
from fedlayers.core.kinds.tokens import RESERVED
from fedlayers.data.download import Download, fetch
from fedlayers.data.formats.words import tokens_of, words_of
from fedlayers.data.source import Arrays, DatasetFacts, damaged

CLASSES = ("ham", "spam")


class Sms:
    """5,574 English text messages, 13 % of them spam, as tokens; no official test set.

    A message's words are told apart as :func:`fedlayers.data.formats.words.words_of` does. The vocabulary is what the
    clients of a run agree on from their own training messages, see :mod:`fedlayers.data.vocabulary`; all other words
    are unknown.

    Args:
        words: the most codes that the vocabulary may have, padding and unknown words among them, 3 or more.
        length: words of a message that are kept, the first ones, 1 or more.

    References:
        Almeida, Gómez Hidalgo & Yamakami 2011, Contributions to the Study of SMS Spam Filtering, DocEng,
        doi:10.24432/C5CC84.
    """

    def __init__(self, words: int = 2000, length: int = 40) -> None:
        check(words > len(RESERVED), "dataset.words", f"{len(RESERVED) + 1} or more", words)
        check(length >= 1, "dataset.length", "1 or more", length)
        self.words, self.length = words, length

    def files(self, root: Path) -> Sequence[Path]:
        """Return the file of messages; it is downloaded if it is missing."""
        url = "https://archive.ics.uci.edu/ml/machine-learning-databases/00228/smsspamcollection.zip"
        sha256 = "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"
        return fetch("sms", [Download(url, "sms", None, ("SMSSpamCollection",), sha256=sha256)], root)

    def read(self, root: Path) -> Arrays:
        """Return all messages' tokens, shape (n, length)."""
        (path,) = self.files(root)
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = [(number, line.partition("\t")) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        for number, (kind, tab, _) in lines:
            if kind not in CLASSES or not tab:
                raise damaged(path, f"line {number} does not begin with ham or spam and a tab")
        if not lines:
            raise damaged(path, "it has no lines")
        tokens, words = tokens_of([words_of(message) for _, (_, _, message) in lines], self.length)
        labels = np.array([CLASSES.index(kind) for _, (kind, _, _) in lines])
        return Arrays(tokens, labels, DatasetFacts(CLASSES, vocabulary=words, agreed_words=self.words))
