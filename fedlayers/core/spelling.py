"""What was probably meant where a word is misspelt."""

import difflib
from collections.abc import Iterable

# Texts of any length come here, and comparing takes the square of it.
_LONGEST = 100


def nearest(word: str, candidates: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the candidate spelt most like a word, upper and lower case alike; None if none is close.

    >>> nearest("Wieghts", ["weights", "gradients"])
    'weights'

    Args:
        word: what was given.
        candidates: what there is.
        cutoff: how alike two words are that are close, from 0 to 1 (see :func:`likeness`).
    """
    lower = {candidate.lower(): candidate for candidate in candidates}
    short = word.lower()[:_LONGEST]
    close = difflib.get_close_matches(short, list(lower), n=3, cutoff=cutoff)
    # Letters that changed places are a likelier slip than one too many: platn is plant, not plan.
    swapped = [candidate for candidate in close if sorted(candidate) == sorted(short)]
    return lower[(swapped or close)[0]] if close else None


def likeness(a: str, b: str) -> float:
    """Return the share of letters that two words have in common and in order, from 0 to 1."""
    return difflib.SequenceMatcher(None, a, b.lower()).ratio()


def did_you_mean(meant: str | None, otherwise: str = "") -> str:
    """Return the question whether something was meant; where nothing is like it, other advice."""
    return f"did you mean {meant}?" if meant else otherwise


def in_brackets(word: str, known: Iterable[str]) -> str:
    """Return the question which of the known words was meant, in brackets after a space; nothing if none is like it.

    >>> in_brackets("wieghts", ["weights", "gradients"])
    ' (did you mean weights?)'
    """
    question = did_you_mean(nearest(word, known))
    return f" ({question})" if question else ""
