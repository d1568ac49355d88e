"""What Hydra does for every configuration and nobody has of it: together more than half of composing one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from hydra import version
from hydra._internal import defaults_list
from hydra.core.default_element import GroupDefault, InputDefault
from hydra.plugins.config_source import ConfigResult
from omegaconf import _utils, base, grammar_parser

# Whether the options of Hydra's own groups are left out; see `without_own_options`.
_LEFT_OUT = [False]

# The tree of a text such as ``${now:%Y}``, which nobody writes to: the same few stand in every configuration.
_parsed_once = lru_cache(maxsize=1024)(grammar_parser.parse)
# What a version is, by its text: asked for three hundred times in a configuration.
_version_once = lru_cache(maxsize=16)(version._get_version)
_interpolation_map = defaults_list._create_interpolation_map


def _map_if_asked(overrides: Any, defaults: list[InputDefault], *rest: bool) -> Any:
    """Return the choices that ``${...}`` in a defaults list stands for, where there is one."""
    return _interpolation_map(overrides, defaults, *rest) if any(one.is_interpolation() for one in defaults) else None


@contextmanager
def shortcuts() -> Iterator[None]:
    """Let Hydra, in a block of code, parse a text once and gather choices only for lists that refer to them.

    It gathers them as a configuration of its own for each of some thirty files.
    """
    places: list[tuple[dict[str, Any], str, Callable[..., Any]]] = [
        (vars(defaults_list), "_create_interpolation_map", _map_if_asked),
        *((vars(module), "parse", _parsed_once) for module in (base, _utils)),
        (vars(version), "_get_version", _version_once),
    ]
    before = [names[name] for names, name, _ in places]
    for names, name, ours in places:
        names[name] = ours
    try:
        yield
    finally:
        for (names, name, _), own in zip(places, before, strict=True):
            names[name] = own


@contextmanager
def without_own_options() -> Iterator[None]:
    """Leave the options of Hydra's groups (launcher, sweeper, help) out of what is composed in a block of code.

    For configurations of which the part ``hydra`` is thrown away.
    """
    _LEFT_OUT[0] = True
    try:
        yield
    finally:
        _LEFT_OUT[0] = False


def as_needed(config_path: str, found: ConfigResult | None) -> ConfigResult | None:
    """Return what stands at a path, without Hydra's own options where those are left out.

    Args:
        config_path: such as ``hydra/config``.
        found: what stands there; written to.
    """
    if _LEFT_OUT[0] and config_path == "hydra/config" and found is not None:
        for default in found.defaults_list or ():
            if isinstance(default, GroupDefault):
                default.value = None
    return found
