"""The one way from a node of the configuration to the object that it describes: located, checked, built."""

import ast
import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from fedlayers.config.class_names import how_to_say, is_old_strategy, locate
from fedlayers.config.plugin_arguments import arguments_of, check_arguments
from fedlayers.config.signatures import signature_of
from fedlayers.config.stock_strategies import MODULE
from fedlayers.core.errors import UserError, one_line

_LONGEST_REASON = 400
_NOTHING: Mapping[str, Any] = {}


def build_plugin(
    key: str,
    node: Any,
    kind: type = object,
    wanted: str = "",
    *,
    filled_in: Mapping[str, Any] = _NOTHING,
    above: Mapping[str, str] = _NOTHING,
) -> Any:
    """Return the object that a plug-in's node describes.

    Args:
        key: the dotted key that messages name, such as ``metrics.weights``.
        node: ``_target_`` and its arguments, some of which may be plug-ins themselves.
        kind: the class that the object must be of.
        wanted: how messages call that, such as ``a subclass of metrics.base.Metric``.
        filled_in: arguments that are given if the target has them and the node does not.
        above: argument -> the key that decides it, where that is not ``key`` and the argument.

    Raises:
        UserError: there is no such target, it has other arguments or refuses them, or gives something else; the
            sentence names the key.
    """
    target = located(key, node)
    if isinstance(target, type) and not issubclass(target, kind):
        raise UserError(f"{key}._target_ must be {wanted}, got {node['_target_']}, which is a {target.__name__}")
    make = plugin_maker(key, node, filled_in=filled_in, above=above)
    with refusals_told(key, node, above):
        made = make()
    if not isinstance(made, kind):
        raise UserError(f"{key}._target_ must be {wanted}, got {node['_target_']}, which gives a {type(made).__name__}")
    return made


def build_plugins(group: str, nodes: Mapping[str, Any], kind: type, wanted: str) -> dict[str, Any]:
    """Return the objects of a group of which several may be chosen, by name.

    Args:
        group: the key of the group, such as ``export``.
        nodes: name -> ``_target_`` and its arguments, or None for one that was taken away again.
        kind: the class that each must be of.
        wanted: how messages call that.

    Raises:
        UserError: one cannot be built.
    """
    there = {name: node for name, node in nodes.items() if node is not None}
    return {name: build_plugin(f"{group}.{name}", node, kind, wanted) for name, node in there.items()}


def plugin_maker(
    key: str,
    node: Any,
    *,
    filled_in: Mapping[str, Any] = _NOTHING,
    above: Mapping[str, str] = _NOTHING,
    by_position: int = 0,
) -> partial[Any]:
    """Return what makes the object that a plug-in's node describes, plug-ins among its arguments built already.

    Args:
        key: the dotted key that messages name.
        node: ``_target_`` and its arguments.
        filled_in: arguments that are given if the target has them and the node does not.
        above: argument -> the key that decides it, where that is not ``key`` and the argument.
        by_position: how many arguments the maker is given when it is called.

    Raises:
        UserError: as :func:`build_plugin`, but for what the target itself refuses.
    """
    target = check_plugin(key, node, above, by_position)
    arguments, signature = arguments_of(key, node), signature_of(target, by_position)
    added = {name: filled_in[name] for name in signature.hints if name in filled_in and name not in arguments}
    for name in signature.needed:
        if name not in arguments and name not in added and "_args_" not in node:
            raise UserError(f"{key}.{name} is needed by {node['_target_']}; add +{key}.{name}=<value>")
    own = {name: value for name, value in node.items() if name in arguments or str(name).startswith("_")}
    with refusals_told(key, node, above):
        positional, named = _arguments({"_convert_": "all", **own, "_partial_": True})
    # A plain partial: Hydra's own checks its policy again at every call, which takes 0.3 ms.
    return partial(target, *positional, **added, **named)


# By position and by name.
_Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def _arguments(node: dict[str, Any]) -> _Arguments:
    """Return what Hydra makes of a node's arguments; of plain ones it is kept, for each run builds its parts twice."""
    if not _is_plain(list(node.values())):
        return _made_by_hydra(node)
    return copy.deepcopy(_of_plain(repr(node)))


@lru_cache(maxsize=512)
def _of_plain(node: str) -> _Arguments:
    return _made_by_hydra(ast.literal_eval(node))


def _made_by_hydra(node: dict[str, Any]) -> _Arguments:
    found = instantiate(node)
    return found.args, found.keywords


def _is_plain(value: Any) -> bool:
    """Say whether a text can stand for a value: there is nothing in it to be built, filled in or passed on as it is."""
    if type(value) is dict:
        return "_target_" not in value and _is_plain([*value, *value.values()])
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    if type(value) is str:
        return "${" not in value
    return type(value) in (bool, int, type(None)) or (type(value) is float and math.isfinite(value))


def check_plugin(key: str, node: Any, above: Mapping[str, str] = _NOTHING, by_position: int = 0) -> Callable[..., Any]:
    """Return what a node names by ``_target_``, once it and the plug-ins among its arguments have been checked.

    Args:
        key: the dotted key that messages name.
        node: ``_target_`` and its arguments.
        above: argument -> the key that decides it, where that is not ``key`` and the argument.
        by_position: how many arguments are given apart from the node's.

    Raises:
        UserError: a target does not exist, or does not take the arguments given.
    """
    target = located(key, node)
    check_arguments(key, target, signature_of(target, by_position), arguments_of(key, node), above)
    for name, value in node.items():
        for inner_key, inner in _inside(f"{key}.{name}", value):
            check_plugin(inner_key, inner)
    return target


def located(key: str, node: Any) -> Callable[..., Any]:
    """Return the class or function that a plug-in's node names.

    Raises:
        UserError: it names none that exists, or one of an interface that Flower has left.
    """
    check_is_node(key, node)
    target = node.get("_target_")
    if not isinstance(target, str):
        raise UserError(
            f"{key}._target_ is missing: give the class or function by its full name, such as package.module.Name"
        )
    found = locate(target, f"{key}._target_")
    if is_old_strategy(found):
        new = f"{MODULE}.{found.__name__}"
        raise UserError(
            f"{key}._target_ must be a strategy of {MODULE}, got {target}, which is of an interface Flower has "
            f"left; it is {new} now, so write {how_to_say(key, new)}"
        )
    return found


def check_is_node(key: str, node: Any) -> None:
    """Raise UserError unless what stands at a plug-in's key can name a class."""
    if not isinstance(node, Mapping):
        raise UserError(
            f"{key} must be a class with its arguments, got {node!r}; name the class by "
            f"{key}._target_=<package.module.Name>"
        )


@contextmanager
def refusals_told(key: str, node: Mapping[str, Any], above: Mapping[str, str] = _NOTHING) -> Iterator[None]:
    """Turn what a target raises about its arguments in a block of code into :class:`UserError`.

    Args:
        key: the dotted key that messages name.
        node: ``_target_`` and its arguments.
        above: argument -> the key that decides it, where that is not ``key`` and the argument.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # plug-ins are anybody's code and raise whatever they like
        cause = error.__cause__ or error if isinstance(error, InstantiationException) else error
        if isinstance(cause, UserError):
            raise cause from None
        place = re.search(r"^full_key: (\S+)$", str(error), re.MULTILINE) if cause is not error else None
        for name in place[1].split(".") if place else ():
            if not isinstance(node.get(name), Mapping):
                break
            key, node, above = f"{key}.{name}", node[name], {}
        raise UserError(_refusal(key, node, above, cause)) from error


def _refusal(key: str, node: Mapping[str, Any], above: Mapping[str, str], error: BaseException) -> str:
    """Return the sentence for what a target raised; what is raised on purpose begins with an argument's name."""
    on_purpose = isinstance(error, ValueError)
    text = " ".join(str(error).split()) if on_purpose else f"{type(error).__name__}: {one_line(error)}"
    argument, _, rest = text[:_LONGEST_REASON].partition(" ")
    if dotted := _dotted(key, node, above, argument):
        return f"{dotted} {rest}"
    return f"{key} cannot be built from {node.get('_target_')}: {text[:_LONGEST_REASON]}"


def _dotted(key: str, node: Mapping[str, Any], above: Mapping[str, str], argument: str) -> str | None:
    """Return the dotted key of an argument of a plug-in, or of something among its arguments; None if it has none."""
    if argument in node:
        return above.get(argument, f"{key}.{argument}")
    groups = {name: value for name, value in node.items() if isinstance(value, Mapping)}
    inner = (_dotted(f"{key}.{name}", value, {}, argument) for name, value in groups.items())
    return next((dotted for dotted in inner if dotted), None)


def _inside(key: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted key and node of every plug-in in a value, but not those among its own arguments."""
    if isinstance(value, Mapping) and "_target_" in value:
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _inside(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _inside(f"{key}[{place}]", item)
