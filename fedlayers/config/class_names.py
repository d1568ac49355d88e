"""Names of classes that were probably meant: those that ``conf/`` names, Flower's strategies, its partitioners."""

import importlib

from fedlayers.config.options import choice, nearest, option_of, targets
from fedlayers.config.stock_strategies import MODULE

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
    bare = {"algorithm.strategy": "algorithm=flower ", "partition": "partition=iid "}.get(key, "")
    return f"{bare}{key}._target_={target}"


def is_old_strategy(target: object) -> bool:
    """Say whether a class is one of Flower's strategies before its message interface."""
    return str(getattr(target, "__module__", "")).startswith("flwr.server.strategy")
