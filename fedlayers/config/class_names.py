"""Classes by their dotted names: where they are, and which one was probably meant by a name without a class."""

import importlib
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fedlayers.config.options import choice, option_of, targets
from fedlayers.config.stock_strategies import MODULE
from fedlayers.core.errors import UserError, one_line
from fedlayers.core.spelling import did_you_mean, nearest

# Where Flower keeps what a key names -> the key.
_MODULES = {"algorithm.strategy": MODULE, "partition": "flwr_datasets.partitioner"}
# Arguments of strategies before Flower's message interface -> what they are called now.
OLD_ARGUMENTS = {
    "fraction_fit": "fraction_train",
    "min_fit_clients": "min_train_nodes",
    "min_evaluate_clients": "min_evaluate_nodes",
    "min_available_clients": "min_available_nodes",
    "num_malicious_clients": "num_malicious_nodes",
    "num_clients_to_keep": "num_nodes_to_select",
    "fit_metrics_aggregation_fn": "train_metrics_aggr_fn",
    "evaluate_metrics_aggregation_fn": "evaluate_metrics_aggr_fn",
}

# Key of a plug-in -> the option of its group that brings no arguments.
BARE = {"algorithm.strategy": "flower", "partition": "iid", "model": "custom", "objective": "custom"}


def locate(target: str, key: str) -> Callable[..., Any]:
    """Return the class or function of a dotted name.

    Args:
        target: such as ``"strategies.fedavg.FedAvg"``.
        key: the configuration key that error messages name.

    Raises:
        UserError: there is none of that name, or its module cannot be imported.
    """
    module_name, _, name = target.rpartition(".")
    plugin = key.removesuffix("._target_")
    module = _module(target, key)
    found = getattr(module, name, None)
    if not callable(found):
        public = [item for item in getattr(module, "__all__", vars(module)) if not item.startswith("_")]
        close = nearest(name, public)
        meant = f"{module_name}.{close}" if close else meant_class(plugin, target)
        advice = did_you_mean(how_to_say(plugin, meant) if meant else None, "check its spelling")
        raise UserError(f"{key}={target}: {module_name} has no class or function {name}; {advice}")
    return found  # type: ignore[no-any-return]


def _module(target: str, key: str) -> ModuleType:
    """Return the module that a dotted name begins with."""
    module_name = target.rpartition(".")[0]
    is_dotted = module_name and all(part.isidentifier() for part in target.split("."))
    try:
        if not is_dotted:
            raise ModuleNotFoundError(name=target)
        return importlib.import_module(module_name)
    except Exception as error:  # somebody's module can raise anything
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not f"{target}.".startswith(f"{missing}."):
            raise UserError(f"{key}={target}: importing {module_name} raises {_told(error)}") from error
        meant = meant_class(key.removesuffix("._target_"), target)
        said = how_to_say(key.removesuffix("._target_"), meant) if meant else None
        advice = did_you_mean(said, "give an importable name, such as package.module.Name")
        raise UserError(f"{key}={target}: there is no module {missing}; {advice}") from error


def _told(error: Exception) -> str:
    """Return what an import raised, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    # A SyntaxError names file and line itself.
    where = "" if isinstance(error, SyntaxError) else f" ({Path(place.filename).name}, line {place.lineno})"
    return f"{type(error).__name__}: {one_line(error)}{where}"


def meant_class(key: str, target: str) -> str | None:
    """Return the full name of the class that was probably meant; None if none is like it.

    Args:
        key: the plug-in's key, such as ``algorithm.strategy``.
        target: what was given, such as ``FedYogi`` or a name of an older release.
    """
    known = {}
    if key in _MODULES:
        module = importlib.import_module(_MODULES[key])
        known = {name: f"{_MODULES[key]}.{name}" for name in module.__all__ if name[0].isupper()}
    known |= {full.rpartition(".")[2]: full for full in targets(key)}
    close = nearest(target.rpartition(".")[2], known)
    return known[close] if close and known[close] != target else None


def how_to_say(key: str, target: str) -> str:
    """Return the words that choose a class: its option if it has one, else one without arguments of its own.

    Args:
        key: the plug-in's key, such as ``algorithm.strategy``.
        target: the full name of the class.
    """
    group = key.split(".", maxsplit=1)[0]
    if option := option_of(key, target):
        return choice(group, option)
    bare = f"{choice(group, BARE[key])} " if key in BARE else ""
    return f"{bare}{key}._target_={target}"


def is_old_strategy(target: object) -> bool:
    """Say whether a class is one of Flower's strategies before its message interface."""
    return str(getattr(target, "__module__", "")).startswith("flwr.server.strategy")
