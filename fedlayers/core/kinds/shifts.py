"""Kinds of shift between clients, in words: what tables hold and what the tests found are told alike."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

SHIFT_WORDS: Mapping[str, str] = {
    "label": "its classes have other proportions",
    "feature": "its records of a class look different",
    "concept": "its labels mean something else",
}
Class = TypeVar("Class")


def shift_sentence(
    named: Mapping[str, float], unknown: Mapping[str, str], classes: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return in words what kinds of shift a client, or a group of them, has.

    Args:
        named: kind -> p value, of the kinds that it has.
        unknown: kind -> why nothing can be said about it.
        classes: kind -> names of the classes in which it stands out.

    Examples:
        >>> shift_sentence({"concept": 0.01}, {}, {"concept": ["cat", "dog"]})
        'its labels mean something else (concept shift, most in cat and dog, p = 0.01)'
        >>> shift_sentence({}, {})
        'no difference from the others was found'
    """
    said = []
    for kind, p in named.items():
        most = (classes or {}).get(kind) or ()
        listed = " and ".join(filter(None, [", ".join(most[:-1]), *most[-1:]]))
        where = f"most in {listed}, " if most else ""
        said.append(f"{SHIFT_WORDS[kind]} ({kind} shift, {where}p = {p:.2g})")
    silent = [f"nothing can be said about {kind} shift: {reason}" for kind, reason in unknown.items()]
    return "; ".join([*said, *silent]) or "no difference from the others was found"


def standing_out(effects: Mapping[Class, float]) -> list[Class]:
    """Return the classes in which a shift stands out, none if it does in most of them.

    Those whose effect is half of the largest one or more, if they are at most half of the classes.

    Args:
        effects: class -> what it adds to a shift, 0 or more.

    Examples:
        >>> standing_out({"cat": 0.5, "dog": 0.4, "owl": 0.1, "emu": 0.0})
        ['cat', 'dog']
    """
    largest = max(effects.values(), default=0.0)
    found = [label for label, effect in effects.items() if largest > 0 and effect >= largest / 2]
    return found if len(found) <= len(effects) / 2 else []
