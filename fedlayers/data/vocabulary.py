"""The one vocabulary that a federation agrees on, made of words of training examples and of nothing else.

Every client counts in how many of its own training examples each word occurs; the server adds the counts (which secure
aggregation can do), keeps the most frequent words and tells all clients their codes. A word that only occurs in
validation or test examples, of whatever client or of the server, is unknown to all.
"""

from collections.abc import Sequence

import numpy as np

from fedlayers.core.kinds.tokens import PADDING, RESERVED, UNKNOWN


def agreed_words(tokens: np.ndarray, train: Sequence[np.ndarray], words: int, most: int) -> np.ndarray:
    """Return the codes of the words that are kept, most frequent first, equally frequent ones by code.

    Args:
        tokens: all examples' words by the codes of the data set's own list, shape (n, length); 0 is padding, 1 unknown.
        train: positions of each client's training examples, of those that train.
        words: the length of that list.
        most: how many codes the vocabulary may have, padding and unknown words included.

    >>> agreed_words(np.array([[2, 3, 3], [3, 0, 0], [4, 4, 0]]), [np.array([0]), np.array([1])], 5, 3).tolist()
    [3]
    """
    counts = np.zeros(words, np.int64)
    for client in train:
        counts += _occurrences(tokens[client], words)
    counts[[PADDING, UNKNOWN]] = 0
    ranked = np.argsort(-counts, kind="stable")[: most - len(RESERVED)]
    return ranked[counts[ranked] > 0]


def _occurrences(tokens: np.ndarray, words: int) -> np.ndarray:
    """Return in how many examples each word occurs, shape (words,)."""
    ordered = np.sort(tokens, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return np.bincount(ordered[first], minlength=words)


def recoded(tokens: np.ndarray, kept: np.ndarray, words: int) -> np.ndarray:
    """Return tokens by the codes of the vocabulary: 2, 3, … for the words that are kept, 1 for others, 0 for padding.

    >>> recoded(np.array([[2, 3, 0]]), np.array([3]), 5).tolist()
    [[1, 2, 0]]
    """
    codes = np.full(words, UNKNOWN, tokens.dtype)
    codes[PADDING] = PADDING
    codes[kept] = np.arange(len(RESERVED), len(RESERVED) + len(kept))
    recoded: np.ndarray = codes[tokens]
    return recoded
