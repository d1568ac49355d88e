"""What a class or function can be called with: names and types of its arguments."""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Signature:
    """The arguments that can be given by name.

    Attributes:
        hints: name -> annotation; those of parents, too, where ``**`` passes them on.
        needed: those without a default, but for parents' ones, which the class itself may pass.
        takes_any: whether other names may do, too, because ``**`` takes them.
    """

    hints: Mapping[str, Any]
    needed: tuple[str, ...]
    takes_any: bool


@lru_cache(maxsize=512)
def signature_of(target: Callable[..., Any], by_position: int = 0) -> Signature:
    """Return the arguments of a function, or of a class' constructor.

    Args:
        target: what is called.
        by_position: how many of the first are given by position.
    """
    hints: dict[str, Any] = {}
    needed: list[str] = []
    given: set[str] = set()
    takes_any = True
    for place, function in enumerate(_functions(target)):
        own = _parameters(function, bound=function is target)
        if own is None:
            break
        if place == 0:
            given = {parameter.name for parameter in own[:by_position]}
        named = [parameter for parameter in own if parameter.kind in _BY_NAME and parameter.name not in given]
        annotated = _hints(function)
        for parameter in named:
            hints.setdefault(parameter.name, annotated.get(parameter.name, Any))
        needed += [parameter.name for parameter in named if place == 0 and parameter.default is parameter.empty]
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in own)
        if not takes_any:
            break
    return Signature(hints, tuple(needed), takes_any)


def fits(value: Any, hint: Any) -> bool:
    """Say whether a YAML value can be what an annotation asks for; True where that cannot be told."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, item) for item in inner)
    if origin is Literal or hint in (Any, object):
        return hint in (Any, object) or value in inner
    if origin in (int, float):
        return isinstance(value, int if origin is int else int | float) and not isinstance(value, bool)
    if not inspect.isclass(origin) or origin in (str, bool, type(None)):
        return not inspect.isclass(origin) or isinstance(value, origin)
    if issubclass(origin, Sequence):
        return isinstance(value, list | tuple) and (not inner or all(fits(item, inner[0]) for item in value))
    # Another class comes from a _target_ of its own, or from a text that the plug-in can read.
    is_readable = isinstance(value, str) and value != "" and not issubclass(origin, Mapping)
    return is_readable or isinstance(value, (dict, origin))


def in_words(hint: Any) -> str:
    """Return what an annotation asks for, as a message says it."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(item) for item in inner)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin in _WORDS:
        return _WORDS[origin]
    return (
        "a list, such as [a,b]"
        if inspect.isclass(origin) and issubclass(origin, Sequence)
        else f"a {getattr(origin, '__name__', origin)} by its _target_"
    )


def _functions(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """Return what a call runs: a class' constructor, then its parents', to whom it may pass arguments on."""
    if not inspect.isclass(target):
        return [target]
    return [vars(cls)["__init__"] for cls in target.__mro__[:-1] if "__init__" in vars(cls)] or [target]


def _parameters(function: Callable[..., Any], bound: bool) -> list[inspect.Parameter] | None:
    """Return the parameters, without the ``self`` of a constructor; None where built-in code does not tell them."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    return found if bound else found[1:]


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # names imported for type checkers only
        return {}
