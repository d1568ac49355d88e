"""The configurations of a sweep's runs: what several of them share is composed once, and only values are set anew."""

from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fedlayers.config.compose import composed, typed
from fedlayers.config.schema.settings import Config


class Points:
    """Composes run after run, each as Hydra would by itself; needs :func:`fedlayers.config.compose.hydra_ready`.

    Hydra takes a tenth of a second a run, most of it for reading and merging the same files. The words of a run that
    set a value of a known key come last in what it does; they are set in what it made of the others.

    Args:
        settings: Hydra's own settings, the same for all runs.
    """

    def __init__(self, settings: Sequence[str]) -> None:
        self._settings = list(settings)
        self._made: dict[tuple[tuple[str, ...], tuple[str, ...]], DictConfig] = {}

    def config(self, words: Sequence[str]) -> Config:
        """Return the configuration of a run.

        Args:
            words: its arguments.

        Raises:
            UserError: for a mistake in them.
        """
        values = _values(words)
        rest = tuple(word for word in words if word not in values)
        try:
            content = self._content(rest, tuple(one.key_or_group for one in values.values()))
            for one in values.values():
                OmegaConf.update(content, one.key_or_group, one.value(), merge=True)
        except (OmegaConfBaseException, HydraException):
            # Said as it is said of a run that is not part of a sweep.
            return typed(composed([*self._settings, *words]), words)
        return typed(content, words)

    def _content(self, rest: tuple[str, ...], keys: tuple[str, ...]) -> DictConfig:
        """Return what Hydra makes of the other words; the same object for all runs that set the same keys, all anew."""
        if (rest, keys) not in self._made:
            content = composed([*self._settings, *rest])
            with open_dict(content):
                del content["hydra"]
            self._made[rest, keys] = content
        return self._made[rest, keys]


def _values(words: Sequence[str]) -> dict[str, Override]:
    """Return word -> what it means, of the words that set a value which no other word has to do with."""
    keys = [_parsed(word).key_or_group.split(".") for word in words]
    found = {}
    for word, key in zip(words, keys, strict=True):
        alike = sum(key[: len(other)] == other or other[: len(key)] == key for other in keys)
        if alike == 1 and _sets_a_value(_parsed(word)):
            found[word] = _parsed(word)
    return found


def _sets_a_value(one: Override) -> bool:
    """Say whether a word gives a key that is there a value; options of groups and whatever adds or deletes do not."""
    is_plain = one.type == OverrideType.CHANGE and not one.is_hydra_override() and one.package is None
    is_key = "/" not in one.key_or_group and ("." in one.key_or_group or one.key_or_group in _scalars())
    return is_plain and is_key and not one.is_sweep_override() and not isinstance(one.value(), dict)


@lru_cache(maxsize=4096)
def _parsed(word: str) -> Override:
    return OverridesParser.create().parse_override(word)


@lru_cache(maxsize=1)
def _scalars() -> frozenset[str]:
    """Return the keys at the top whose values are no settings of their own."""
    kinds: dict[str, Any] = {item.name: item.default for item in fields(Config)}
    return frozenset(name for name, value in kinds.items() if isinstance(value, bool | int | float | str | None))
