"""Code of a user's own that a run is made with: the files that plug-ins come from, and their digests."""

import inspect
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from fedlayers.config.class_names import locate
from fedlayers.config.plugins import plugins
from fedlayers.config.schema.settings import Config
from fedlayers.core.seals import digest

_OURS = {"fedlayers", "metrics", "clients", "strategies"}
_INSTALLED = {"site-packages", "dist-packages"}
_PYTHON = Path(sysconfig.get_path("stdlib")).resolve()


def own_code(config: Config) -> dict[str, str]:
    """Return file -> digest of the modules that the plug-ins of a run come from, and of those that these import.

    Packages that are installed are left out, as ours are: their versions are noted.
    """
    found: dict[str, str] = {}
    waiting = [module for key, target in _targets(config) if (module := _module_of(locate(target, key)))]
    while waiting:
        module = waiting.pop()
        file = _own_file(module)
        if file is not None and str(file) not in found:
            found[str(file)] = digest(file.read_bytes())
            waiting += _imported(module)
    return found


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the files whose content is another one than before, of those that are known both times.

    Where the checkout lies elsewhere now, a file is known again by its name.
    """
    by_name = {Path(file).name: seal for file, seal in before.items()}
    return [file for file, seal in now.items() if before.get(file, by_name.get(Path(file).name, seal)) != seal]


def _targets(config: Config) -> Iterator[tuple[str, str]]:
    for key, node in plugins(config):
        yield from _within(key, node)


def _within(key: str, node: Any) -> Iterator[tuple[str, str]]:
    """Yield the key and the dotted name of everything that a node has built."""
    entries: Any = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for name, value in entries:
        if name == "_target_":
            yield f"{key}._target_", str(value)
        else:
            yield from _within(f"{key}.{name}", value)


def _module_of(thing: Any) -> ModuleType | None:
    return thing if isinstance(thing, ModuleType) else inspect.getmodule(thing)


def _imported(module: ModuleType) -> list[ModuleType]:
    return [other for value in vars(module).values() if (other := _module_of(value)) and other is not module]


def _own_file(module: ModuleType) -> Path | None:
    """Return the file of a module that is neither ours nor installed, None for others and where there is none."""
    name, file = module.__name__.partition(".")[0], vars(module).get("__file__")
    if name in _OURS or not file or not str(file).endswith(".py"):
        return None
    path = Path(file).resolve()
    installed = path.is_relative_to(_PYTHON) or not _INSTALLED.isdisjoint(path.parts)
    return None if installed or not path.is_file() else path
