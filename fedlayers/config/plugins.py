"""What plug-ins are checked for before anything is built: targets, arguments, keys that nothing reads."""

import importlib
import inspect
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from fedlayers.config.class_names import OLD_ARGUMENTS, how_to_say, is_old_strategy, meant_class
from fedlayers.config.old_names import HOOKS, new_key
from fedlayers.config.options import advice, known_keys, nearest, options_with
from fedlayers.config.settings import Config
from fedlayers.config.stock_strategies import MODULE, check_stock_argument, is_stock
from fedlayers.core.checks import MOST, check
from fedlayers.core.errors import UserError

# Arguments of Flower's strategies that the run fills in from the configuration -> the key that decides them.
_FILLED_IN = {"fraction_train": "fraction", "fraction_evaluate": "fraction", "weighted_by_key": "weighting"}
# Packages whose whole numbers count something.
_OURS = ("fedlayers", "metrics", "clients", "strategies")
_LONGEST_TEXT = 2000
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def check_plugins(config: Config) -> None:
    """Check that every ``_target_`` exists and takes the arguments given; data and model are not touched.

    Raises:
        UserError: naming the dotted key and what is allowed.
    """
    for key, node in _plugins(config):
        target = node.get("_target_") if isinstance(node, dict) else node
        if not isinstance(node, dict) or not isinstance(target, str):
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
        check_arguments(key, found, _arguments(key, node), _above(config, key))
    _try_client(config.algorithm["client"])


def locate(target: str, key: str) -> Callable[..., Any]:
    """Return the class or function of a dotted name.

    Args:
        target: such as ``"strategies.fedavg.FedAvg"``.
        key: the configuration key that error messages name.
    """
    module_name, _, name = target.rpartition(".")
    try:
        if not module_name or not all(part.isidentifier() for part in target.split(".")):
            raise ModuleNotFoundError(name=target)
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (target + ".").startswith(error.name + "."):
            raise
        plugin = key.removesuffix("._target_")
        meant = meant_class(plugin, target)
        say = f"did you mean {how_to_say(plugin, meant)}?" if meant else ""
        advice = say or "give an importable name, such as package.module.Name"
        raise UserError(f"{key}={target}: there is no module {error.name}; {advice}") from error
    found = getattr(module, name, None)
    if not callable(found):
        public = [item for item in getattr(module, "__all__", vars(module)) if not item.startswith("_")]
        close = nearest(name, public)
        plugin = key.removesuffix("._target_")
        meant = f"{module_name}.{close}" if close else meant_class(plugin, target)
        advice = f"did you mean {how_to_say(plugin, meant)}?" if meant else "check its spelling"
        raise UserError(f"{key}={target}: {module_name} has no class or function {name}; {advice}")
    return found  # type: ignore[no-any-return]


def check_arguments(
    key: str, target: Callable[..., Any], arguments: Mapping[str, Any], above: Mapping[str, str] | None = None
) -> None:
    """Raise UserError unless the target has the arguments, by name and, where it says so, by type.

    Args:
        key: the plug-in's configuration key.
        target: what is called.
        arguments: name -> value.
        above: argument -> the key that decides it, where that is not ``key`` and the name.
    """
    known = _argument_types(target)
    for name, value in arguments.items():
        if name in _FILLED_IN and key in ("algorithm.strategy", "algorithm.strategy.strategy"):
            raise UserError(f"{key}.{name} is filled in by the run; set {_FILLED_IN[name]} instead")
        if known is not None and name not in known:
            if OLD_ARGUMENTS.get(name) in _FILLED_IN:
                raise UserError(f"{key}.{name} is filled in by the run; set {_FILLED_IN[OLD_ARGUMENTS[name]]} instead")
            if name in (above or {}) and is_stock(target):
                full = f"{MODULE}.{target.__name__}"
                raise UserError(
                    f"{(above or {})[name]} is an argument of another strategy than {target.__name__}; to run that one "
                    f"write {how_to_say(key, full)}"
                )
            now = (OLD_ARGUMENTS.get(name), new_key(name))
            close = next((other for other in now if other in known), None) or nearest(name, known)
            meant = (above or {}).get(str(close), f"{key}.{close}")
            advice = f"did you mean {meant}?" if close else f"it has {', '.join(known) or 'none'}"
            raise UserError(f"{key}.{name}: {target.__name__} has no argument {name!r}; {advice}")
        said = (above or {}).get(name, f"{key}.{name}")
        if known is not None and not _fits(value, known[name]):
            raise UserError(f"{said} must be {_in_words(known[name])}, got {value!r}")
        _check_value(said, value, MOST if target.__module__.split(".")[0] in _OURS else 2**63 - 1)
        if is_stock(target):
            check_stock_argument(said, name, value)


def _above(config: Config, key: str) -> dict[str, str]:
    """Return argument -> the key of the algorithm's that decides it, for its strategy and its client."""
    if key not in ("algorithm.strategy", "algorithm.client"):
        return {}
    return {name: f"algorithm.{name}" for name in config.algorithm if name not in ("name", "strategy", "client")}


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


def _try_client(node: Mapping[str, Any]) -> None:
    """Make one client without data, to hear now and not in the first round what it says about its arguments."""
    from fedlayers.flower.adapter import NumPyClient

    make = locate(node["_target_"], "algorithm.client._target_")
    fits = isinstance(make, type) and issubclass(make, NumPyClient)
    if not fits:
        raise UserError(
            f"algorithm.client._target_ must be a subclass of flwr.client.NumPyClient, got {node['_target_']}; "
            "see clients/fedavg.py for one"
        )
    if old := next((name for name in HOOKS if name in dir(make)), None):
        raise UserError(
            f"algorithm.client._target_ must have hooks that are called, got {old} in {node['_target_']}; it is called "
            f"{HOOKS[old]} now"
        )
    arguments = _arguments("algorithm.client", node)
    # The first is the session.
    for name, parameter in list(inspect.signature(make).parameters.items())[1:]:
        needed = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        if needed and parameter.kind is not parameter.VAR_KEYWORD and name not in arguments:
            raise UserError(
                f"algorithm.client.{name} is needed by {node['_target_']}; add +algorithm.client.{name}=<value>"
            )
    with suppress(AttributeError, TypeError):  # a constructor that looks at its session gets no further
        make(None, **arguments)


def _argument_types(target: Callable[..., Any]) -> dict[str, Any] | None:
    """Return name -> annotation of the arguments, where ``**`` passes them on also a parent's; None if any will do."""
    functions = [target]
    if inspect.isclass(target):
        functions = [vars(cls)["__init__"] for cls in target.__mro__[:-1] if "__init__" in vars(cls)]
    known: dict[str, Any] = {}
    for function in functions:
        hints, passes_on = _hints(function), False
        for name, parameter in inspect.signature(function).parameters.items():
            passes_on |= parameter.kind is inspect.Parameter.VAR_KEYWORD
            if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
                known.setdefault(name, hints.get(name, Any))
        if not passes_on:
            return {name: hint for name, hint in known.items() if name != "self"}
    return None if functions else {}


def refuse_unread(composed: DictConfig, words: Sequence[str]) -> None:
    """Raise UserError for keys that were added (``+key=value``) where nothing would read them."""
    _refuse_unknown(composed, Config, "")
    chosen = next((word for word in words if word.lstrip("+~").startswith(("similarity=", "similarity."))), None)
    entries = {str(name): metric for name, metric in composed.metrics.items() if isinstance(metric, DictConfig)}
    if chosen and not any("measures" in metric for metric in entries.values()):
        wanted = ",".join([*entries, "similarity"])
        raise UserError(f"{chosen} would have no effect without the metric that compares: add metrics=[{wanted}]")
    algorithm = OmegaConf.to_container(composed.algorithm, resolve=False)
    assert isinstance(algorithm, dict)
    for part in ("strategy", "client"):
        if not isinstance(algorithm.get(part), dict):
            raise UserError(
                f"algorithm.{part} must be a class with its arguments, got {algorithm.get(part)!r}; name the class by "
                f"algorithm.{part}._target_=<package.module.Name>"
            )
    used = str([algorithm.get("strategy"), algorithm.get("client")])
    for name in map(str, algorithm.keys() - {"name", "strategy", "client"}):
        if not re.search(rf"\$\{{(\.+|algorithm\.){re.escape(name)}\b", used):
            raise UserError(_no_effect(f"algorithm.{name}", str(algorithm.get("name"))))


def _no_effect(key: str, option: str) -> str:
    start = f"{key} would have no effect: neither algorithm.strategy nor algorithm.client refers to it"
    if key in known_keys([f"algorithm={option}"]):
        return f"{start} any more; change {key} itself and not the key below that took its value from it"
    others = options_with(key)
    return f"{start}; " + (f"choose {' or '.join(others)}" if others else f"leave out +{key}")


def _refuse_unknown(node: DictConfig, kind: Any, prefix: str) -> None:
    types_by_name = {item.name: item.type for item in fields(kind)}
    for name in map(str, node):
        if name not in types_by_name:
            key = f"{prefix}{name}"
            raise UserError(f"no such key {key!r}; {advice(key, ())}")
        if is_dataclass(types_by_name[name]):
            _refuse_unknown(node[name], types_by_name[name], f"{prefix}{name}.")


def _plugins(config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dotted key and content of every plug-in, those among another's arguments included."""
    yield from _nested("dataset", config.dataset)
    yield from _nested("partition", config.partition)
    yield from _nested("model", config.model)
    for part in ("strategy", "client"):
        yield from _nested(f"algorithm.{part}", config.algorithm.get(part, {}))
    for group in ("metrics", "similarity"):
        for name, node in getattr(config, group).items():
            if isinstance(node, dict):
                yield from _nested(f"{group}.{name}", node)


def _nested(key: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield key, node
    for name, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, dict) and "_target_" in value:
            yield from _nested(f"{key}.{name}", value)


def _arguments(key: str, node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plug-in's arguments: all but Hydra's own keys and the label of a group's option."""
    label = {"name"} if "." not in key else set()
    return {name: value for name, value in node.items() if name not in label and not re.fullmatch("_[a-z]+_", name)}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError):  # names imported for type checkers only
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a YAML value can be what the annotation asks for; True where that cannot be told."""
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, item) for item in inner)
    if origin is Literal or hint in (Any, object):
        return hint in (Any, object) or value in inner
    if origin in (int, float):
        return isinstance(value, int if origin is int else int | float) and not isinstance(value, bool)
    if not inspect.isclass(origin) or origin in (str, bool, type(None)):
        return not inspect.isclass(origin) or isinstance(value, origin)
    if issubclass(origin, Sequence):
        return isinstance(value, list) and (not inner or all(_fits(item, inner[0]) for item in value))
    # Another class comes from a _target_ of its own, or from a text that the plug-in can read.
    return isinstance(value, dict) or (isinstance(value, str) and value != "" and not issubclass(origin, Mapping))


def _in_words(hint: Any) -> str:
    origin, inner = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(item) for item in inner)
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin in _WORDS:
        return _WORDS[origin]
    return (
        "a list, such as [a,b]"
        if inspect.isclass(origin) and issubclass(origin, Sequence)
        else f"a {getattr(origin, '__name__', origin)} by its _target_"
    )
