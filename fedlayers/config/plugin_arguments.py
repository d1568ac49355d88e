"""What the arguments of a plug-in are checked for: that there are such, of such a type, and possible at all."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from fedlayers.config.class_names import BARE, OLD_ARGUMENTS, how_to_say
from fedlayers.config.options import option_of, options_with
from fedlayers.config.schema.old_names import new_key
from fedlayers.config.signatures import Signature, fits, in_words
from fedlayers.config.stock_strategies import DECIDED, MODULE, check_stock_argument, is_stock
from fedlayers.core.checks import MOST, check
from fedlayers.core.errors import UserError
from fedlayers.core.spelling import did_you_mean, nearest

# Packages whose whole numbers count something.
_OURS = ("fedlayers", "metrics", "clients", "strategies")
_LONGEST_TEXT = 2000


def arguments_of(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plug-in's arguments: all but Hydra's own keys and the label of a group's option."""
    label = {"name"} if "." not in key else set()
    return {
        str(name): value for name, value in node.items() if name not in label and not re.fullmatch("_[a-z]+_", name)
    }


def check_arguments(
    key: str, target: Callable[..., Any], signature: Signature, arguments: Mapping[str, Any], above: Mapping[str, str]
) -> None:
    """Raise UserError unless the target has the arguments, by name and, where it says so, by type.

    Args:
        key: the plug-in's configuration key.
        target: what is called.
        signature: what it can be called with.
        arguments: name -> value.
        above: argument -> the key that decides it, where that is not ``key`` and the name.
    """
    package = str(getattr(target, "__module__", "")).partition(".")[0]
    for name, value in arguments.items():
        _check_not_decided(key, name)
        if name not in signature.hints and not signature.takes_any:
            raise _no_such_argument(key, target, signature, name, above)
        said = above.get(name, f"{key}.{name}")
        hint = signature.hints.get(name, Any)
        if not fits(value, hint):
            raise UserError(f"{said} must be {in_words(hint)}, got {value!r}")
        _check_value(said, value, MOST if package in _OURS else 2**63 - 1)
        if is_stock(target):
            check_stock_argument(said, name, value)


def _check_not_decided(key: str, name: str) -> None:
    """Raise UserError for an argument of a strategy, or of one that it wraps, that the run decides."""
    if re.fullmatch(r"algorithm(\.strategy)+", key) and name in DECIDED:
        raise UserError(f"{key}.{name} is filled in by the run; set {DECIDED[name]} instead")


def _no_such_argument(
    key: str, target: Callable[..., Any], signature: Signature, name: str, above: Mapping[str, str]
) -> UserError:
    known = signature.hints
    called = getattr(target, "__name__", type(target).__name__)
    now = OLD_ARGUMENTS.get(name) or new_key(name)
    if now in DECIDED:
        return UserError(f"{key}.{name} is filled in by the run; set {DECIDED[now]} instead")
    if name in above and is_stock(target):
        return UserError(
            f"{above[name]} is an argument of another strategy than {called}; to run that one write "
            f"{how_to_say(key, f'{MODULE}.{called}')}"
        )
    named = f"{target.__module__}.{called}"
    if key in BARE and not option_of(key, named) and options_with(f"{key}.{name}"):
        return UserError(
            f"{key}.{name}: {called} has no argument {name!r}, which the option brings that is chosen; for one that "
            f"brings none write {how_to_say(key, named)}"
        )
    close = now if now in known else nearest(name, known)
    meant = above.get(close, f"{key}.{close}") if close else None
    advice = did_you_mean(meant, f"it has {', '.join(known) or 'none'}")
    return UserError(f"{key}.{name}: {called} has no argument {name!r}; {advice}")


def _check_value(key: str, value: object, most: int) -> None:
    """Raise UserError for a value, or one in a list or group of values, that no plug-in can do anything with."""
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _check_value(key, item, most)
    if isinstance(value, float):
        check(not math.isnan(value), key, "a number", value)
    if isinstance(value, int):
        check(abs(value) <= most, key, f"at most {most}", value)
    if isinstance(value, str):
        fine = value.isprintable() and len(value) <= _LONGEST_TEXT
        check(fine, key, f"a text of at most {_LONGEST_TEXT} plain characters", value)
