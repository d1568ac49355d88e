"""Hydra's YAML files and types, of which each is read once as long as the process goes on."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra._internal import config_loader_impl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult

from fedlayers.config.shortcuts import as_needed, shortcuts

# Where something stands, and when it was written -> what Hydra made of it, pickled.
_KEPT: dict[tuple[str, str, str, str, int], bytes] = {}


class ReadOnce(ConfigRepository):
    """Gives what Hydra's own repository gives.

    That one reads some thirty files for every configuration, which takes a third of composing it; here a file is read
    again only when it has been written anew.
    """

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Return what stands at a path, such as ``model/cnn``: the caller's own to change; None if nothing does."""
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        if source is None:
            return None
        file = Path(source.path, source._normalize_file_name(config_path))
        written_ns = file.stat().st_mtime_ns if source.scheme() == "file" else 0
        place = (source.scheme(), source.provider, source.path, config_path, written_ns)
        if place not in _KEPT:
            _KEPT[place] = pickle.dumps(super().load_config(config_path))
        return as_needed(config_path, pickle.loads(_KEPT[place]))


@contextmanager
def reading_once() -> Iterator[None]:
    """Let what initialises Hydra in a block of code make it one that reads each file once; it takes shortcuts there."""
    names = vars(config_loader_impl)
    own, names["ConfigRepository"] = names["ConfigRepository"], ReadOnce
    try:
        with shortcuts():
            yield
    finally:
        names["ConfigRepository"] = own
