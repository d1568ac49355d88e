"""What a data set of tokens returned, checked and brought to the type that runs use."""

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.core.kinds.tokens import PADDING, RESERVED
from fedlayers.data.source import DatasetFacts


def checked_tokens(given: np.ndarray, facts: DatasetFacts, name: str) -> np.ndarray:
    """Return tokens as int32, shape (n, length).

    Args:
        given: integers, each a place in ``facts.vocabulary``.
        facts: of the data set.
        name: what error messages call it.

    Raises:
        UserError: they are something else, or an example has no token at all.
    """
    size = len(facts.vocabulary)
    if facts.vocabulary[: len(RESERVED)] != RESERVED:
        raise UserError(
            f"dataset: the vocabulary of {name} must begin with {' and '.join(RESERVED)}, got "
            f"{list(facts.vocabulary[:2])}; give codes 0 and 1 to padding and unknown words"
        )
    if given.ndim != 2 or given.dtype.kind not in "iu":
        raise UserError(
            f"dataset: the tokens of {name} must be integers of shape (n, length), got {given.dtype} of shape "
            f"{given.shape}; fill short examples up with {PADDING}"
        )
    if given.min() < 0 or given.max() >= size:
        raise UserError(
            f"dataset: the tokens of {name} must be 0 to {size - 1}, the codes of its vocabulary, got {given.min()} to "
            f"{given.max()}; give others the code of an unknown word, 1"
        )
    empty = np.flatnonzero((given == PADDING).all(1))
    if len(empty):
        raise UserError(
            f"dataset: every example of {name} must have a token, got none in example {empty[0]}; give it the code of "
            "an unknown word, 1, or leave it out"
        )
    return given.astype(np.int32)
