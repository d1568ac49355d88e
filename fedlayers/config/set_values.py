"""Words that set a value of a known key: they come last in what Hydra does, and depend on no other word."""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType

from fedlayers.config.schema.settings import Config


def set_values(words: Sequence[str]) -> dict[str, Override]:
    """Return word -> what it means, of the words that set a value which no other word has to do with."""
    keys = [parsed(word).key_or_group.split(".") for word in words]
    found = {}
    for word, key in zip(words, keys, strict=True):
        alike = sum(key[: len(other)] == other or other[: len(key)] == key for other in keys)
        if alike == 1 and _sets_a_value(parsed(word)):
            found[word] = parsed(word)
    return found


def _sets_a_value(one: Override) -> bool:
    """Say whether a word gives a key that is there a value; options of groups and whatever adds or deletes do not."""
    is_plain = one.type == OverrideType.CHANGE and not one.is_hydra_override() and one.package is None
    is_key = "/" not in one.key_or_group and ("." in one.key_or_group or one.key_or_group in _scalars())
    return is_plain and is_key and not one.is_sweep_override() and not isinstance(one.value(), dict)


@lru_cache(maxsize=4096)
def parsed(word: str) -> Override:
    """Return what Hydra reads a word as.

    Raises:
        OverrideParseException: it cannot be read.
    """
    return OverridesParser.create().parse_overrides([word])[0]


@lru_cache(maxsize=1)
def _scalars() -> frozenset[str]:
    """Return the keys at the top whose values are no settings of their own."""
    kinds: dict[str, Any] = {item.name: item.default for item in fields(Config)}
    return frozenset(name for name, value in kinds.items() if isinstance(value, bool | int | float | str | None))
