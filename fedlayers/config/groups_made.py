"""The groups of a configuration as dataclasses, of which the runs of a sweep have most in common."""

import pickle
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf

from fedlayers.config.schema.settings import Config

_REFERENCE = re.compile(r"\$\{([^}]*)")


class GroupsMade:
    """Turns what Hydra composed into dataclasses; a group with the values of an earlier one is made of that.

    OmegaConf takes a third of the time of composing for it, for each run anew.
    """

    def __init__(self) -> None:
        self._made: dict[str, bytes] = {}

    def config(self, content: DictConfig, plain: Mapping[str, Any]) -> Config:
        """Return what ``OmegaConf.to_object`` makes of a configuration.

        Args:
            content: of which no value is missing.
            plain: its values, references unresolved.
        """
        return Config(**{str(name): self._value(content, str(name), plain) for name in content})

    def _value(self, content: DictConfig, name: str, plain: Mapping[str, Any]) -> Any:
        decided_by = _decided_by(name, plain) if isinstance(plain[name], dict) else None
        if decided_by is None:
            value = content[name]
            return OmegaConf.to_object(value) if isinstance(value, Container) else value
        if decided_by not in self._made:
            self._made[decided_by] = pickle.dumps(OmegaConf.to_object(content[name]))
        # Each run has groups of its own.
        return pickle.loads(self._made[decided_by])


def _decided_by(name: str, plain: Mapping[str, Any]) -> str | None:
    """Return all that decides the values of a group: its own, and those that it refers to; None if that is unknown."""
    names, told = [name], ""
    for one in names:
        own = repr(plain[one])
        told += f"{one}: {own}\n"
        for reference in _REFERENCE.findall(own):
            if "${" in reference or ":" in reference:
                return None
            # Wherever a reference starts, what it says of the group that it leads to is the group's name.
            names += [word for word in re.split(r"\W+", reference) if word in plain and word not in names]
    return told
