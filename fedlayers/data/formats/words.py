"""From texts to tokens: words, numbers and signs by codes, in the order in which they are first met."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from fedlayers.core.kinds.tokens import PADDING, RESERVED, UNKNOWN

# Words with apostrophes inside, numbers, and every other sign that is no space.
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[^\w\s]|_")


def words_of(text: str) -> list[str]:
    """Return a text's words in lower case, numbers and single signs among them.

    >>> words_of("Don't call 08452, it's FREE!")
    ["don't", 'call', '08452', ',', "it's", 'free', '!']
    """
    return _WORD.findall(text.lower())


def tokens_of(texts: Iterable[Sequence[str]], length: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the tokens of texts, shape (n, length), int32, and the word of each code.

    Args:
        texts: the words of each.
        length: so many are kept, the first ones; shorter texts are filled up with padding. One without words becomes
            an unknown one.

    >>> tokens, words = tokens_of([["a", "b", "a"], []], 2)
    >>> tokens.tolist(), words[2:]
    ([[2, 3], [1, 0]], ('a', 'b'))
    """
    codes = {word: code for code, word in enumerate(RESERVED)}
    rows = [[codes.setdefault(word, len(codes)) for word in words[:length]] or [UNKNOWN] for words in texts]
    tokens = np.full((len(rows), length), PADDING, np.int32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    return tokens, tuple(codes)
