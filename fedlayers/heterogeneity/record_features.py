"""What a client's records are as rows of numbers, with a name for each: pixels, columns of a table, or words."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.kinds.tokens import RESERVED
from fedlayers.heterogeneity.input_sets import SampledRecords
from fedlayers.heterogeneity.local_records import LocalRecords
from fedlayers.opening.run import Run

# Of token data, the words that are counted: the most frequent ones. The covariance has as many rows.
WORDS = 200


@dataclass(frozen=True)
class RecordFeatures:
    """Records as rows of numbers.

    Attributes:
        kind: ``image`` (pixels, channel by channel), ``rows`` (columns of a table) or ``words`` (how often each of the
            client's most frequent words is in a record, of token data, whose codes have no distance).
        rows: as models see them (normalised), words as they are, shape (n, d), float64.
        raw: as the data set has them, shape (n, d), float64.
        names: of the d features; empty for images, where the shape says what a feature is.
    """

    kind: str
    rows: np.ndarray
    raw: np.ndarray
    names: tuple[str, ...]


def record_features(run: Run, records: LocalRecords | SampledRecords) -> RecordFeatures:
    """Return what a client's records are as rows of numbers.

    Args:
        run: whose records they are.
        records: of one client.
    """
    if run.data.has_tokens:
        counts, names = word_counts(records.features, run.data.vocabulary)
        return RecordFeatures("words", counts, counts, names)
    rows, raw = (values.flatten(1).double().numpy() for values in (records.features, records.raw()))
    if len(run.data.shape) == 3:
        return RecordFeatures("image", rows, raw, ())
    given = run.data.columns
    return RecordFeatures("rows", rows, raw, given or tuple(f"feature {place}" for place in range(rows.shape[1])))


def word_counts(tokens: Tensor, vocabulary: tuple[str, ...], most: int = WORDS) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return how often each record has each of the most frequent words, and those words.

    Args:
        tokens: codes of words, shape (n, length), integers.
        vocabulary: the word of each code, first padding and unknown words, which do not count.
        most: how many words; of equally frequent ones the first in the vocabulary.

    Returns:
        Counts, shape (n, d), float64, and d words, the most frequent first.

    Examples:
        >>> import torch
        >>> word_counts(torch.tensor([[2, 3, 3, 0], [3, 1, 0, 0]]), ("<pad>", "<unknown>", "call", "now"))
        (array([[2., 1.],
               [1., 0.]]), ('now', 'call'))
    """
    total = torch.bincount(tokens.flatten(), minlength=len(vocabulary)).numpy()
    total[: len(RESERVED)] = 0
    codes = np.argsort(-total, kind="stable")[:most]
    codes = codes[total[codes] > 0]
    counts = np.zeros((len(tokens), len(codes)))
    for place, code in enumerate(codes):
        counts[:, place] = (tokens == int(code)).sum(1).numpy()
    return counts, tuple(vocabulary[code] for code in codes)
