"""Texts, or the codes that a tokenizer made of them, of the Hugging Face hub or of local files in its formats."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.kinds.tokens import PADDING, RESERVED, UNKNOWN
from fedlayers.data.formats.columns import Columns
from fedlayers.data.formats.hub import Hub, joined_columns
from fedlayers.data.formats.words import tokens_of, words_of


class HubText(Hub):
    """A data set of the ``datasets`` library as token data.

    A column of texts is divided into words, and the clients agree on a vocabulary of their training examples' words. A
    column of lists of integers (``input_ids``) has the codes of a tokenizer, which stay apart from each other: code c
    becomes c + 2, the one that fills short examples up becomes 0, and those beyond the vocabulary become 1.

    Args:
        path: see :class:`fedlayers.data.formats.hub.Hub`, as ``subset``, ``revision``, ``train``, ``test``, ``label``
            and ``group``.
        feature: the column of texts or of lists of integers.
        words: of texts, the most codes that the vocabulary may have; of integers, the size of the tokenizer's.
        length: tokens of an example that are kept, the first ones, 1 or more.
        padding: the code that fills short examples up, of integers.
    """

    def __init__(
        self,
        path: str,
        subset: str | None = None,
        revision: str | None = None,
        train: str = "train",
        test: str | None = "test",
        feature: str = "text",
        label: str | None = None,
        group: str | None = None,
        words: int = 2000,
        length: int = 64,
        padding: int = 0,
    ) -> None:
        super().__init__(path, subset, revision, train, test, feature, label, group)
        check(words > len(RESERVED), "dataset.words", f"{len(RESERVED) + 1} or more", words)
        check(length >= 1, "dataset.length", "1 or more", length)
        self.words, self.length, self.padding = words, length, padding

    def _features(
        self, tables: Sequence[Any], columns: Columns, place: Any
    ) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
        (name,) = columns.features
        values = joined_columns(tables, [name])[name].to_pylist()
        kinds = {type(value) for value in values}
        if kinds == {str}:
            self.agreed_words = self.words
            tokens, vocabulary = tokens_of([words_of(text) for text in values], self.length)
            return tokens, (), vocabulary
        number = next((n for n, value in enumerate(values) if not _is_codes(value)), None)
        if number is not None:
            raise UserError(
                f"dataset.feature must name a column of texts, or of lists of integers from 0, got another value in "
                f"{place(name).example(number)}; name another column, or leave the example out"
            )
        self.agreed_words = None
        tokens = np.full((len(values), self.length), PADDING, np.int32)
        for row, codes in zip(tokens, values, strict=True):
            kept = np.array(codes[: self.length], np.int64)
            shifted = np.where(kept < self.words, kept + len(RESERVED), UNKNOWN)
            row[: len(kept)] = np.where(kept == self.padding, PADDING, shifted)
        return tokens, (), (*RESERVED, *map(str, range(self.words)))


def _is_codes(value: Any) -> bool:
    return isinstance(value, list) and all(type(code) is int and code >= 0 for code in value)
