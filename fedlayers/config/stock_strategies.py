"""Ranges of the arguments of Flower's own strategies, most of which take whatever comes and compute on."""

from collections.abc import Callable, Mapping
from typing import Any

from fedlayers.core.checks import MOST, check, not_negative, positive

MODULE = "flwr.serverapp.strategy"
# Arguments of strategies that the run decides -> the key of the configuration that does.
DECIDED = {"fraction_train": "fraction", "fraction_evaluate": "fraction", "weighted_by_key": "weighting"}

_POSITIVE = (positive, "a positive number")
_NOT_NEGATIVE = (not_negative, "0 or more")
_DECAY = (lambda value: 0 <= value < 1, "in [0, 1)")
_SHARE = (lambda value: 0 <= value <= 1, "in [0, 1]")
_ONE_OR_MORE = (lambda value: 1 <= value <= MOST, "1 or more")
_COUNT = (lambda value: 0 <= value <= MOST, "0 or more")

# Flower's classes mean the same by the same name.
_RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "eta": _POSITIVE,
    "eta_l": _POSITIVE,
    "tau": _POSITIVE,
    "beta_1": _DECAY,
    "beta_2": _DECAY,
    "beta": (lambda value: 0 <= value < 0.5, "in [0, 0.5)"),
    "server_learning_rate": _POSITIVE,
    "server_momentum": _DECAY,
    "proximal_mu": _NOT_NEGATIVE,
    "q": _NOT_NEGATIVE,
    "client_learning_rate": _POSITIVE,
    "num_malicious_nodes": _COUNT,
    "num_nodes_to_select": _ONE_OR_MORE,
    "min_train_nodes": _ONE_OR_MORE,
    "min_evaluate_nodes": _ONE_OR_MORE,
    "min_available_nodes": _ONE_OR_MORE,
    "num_sampled_clients": _ONE_OR_MORE,
    "noise_multiplier": _NOT_NEGATIVE,
    "clipping_norm": _POSITIVE,
    "initial_clipping_norm": _POSITIVE,
    "target_clipped_quantile": _SHARE,
    "clip_norm_lr": _POSITIVE,
    "clipped_count_stddev": _NOT_NEGATIVE,
}


def is_stock(target: object) -> bool:
    """Say whether a class is one of Flower's own strategies."""
    return isinstance(target, type) and target.__module__.startswith(MODULE)


def check_stock_argument(key: str, name: str, value: object) -> None:
    """Raise UserError if an argument of one of Flower's strategies is out of its range.

    Args:
        key: the configuration key that the message names.
        name: the argument.
        value: what it is, of the type that the argument has.
    """
    if name in _RANGES and isinstance(value, int | float):
        holds, allowed = _RANGES[name]
        check(holds(value), key, allowed, value)


def check_stock_among(algorithm: Mapping[str, Any], clients: int) -> None:
    """Raise UserError if one of Flower's strategies takes more clients for malicious than its rule can do without.

    Args:
        algorithm: ``config.algorithm``.
        clients: how many train in a round.
    """
    arguments = algorithm["strategy"]
    kind = str(arguments["_target_"]).rpartition(".")[2]
    malicious = arguments.get("num_malicious_nodes", 0)
    # Krum sums over the n - f - 2 nearest, Bulyan leaves n - 4f values of each coordinate.
    most = {"Krum": clients - 3, "MultiKrum": clients - 3, "Bulyan": (clients - 3) // 4}.get(kind)
    if most is not None and str(arguments["_target_"]).startswith(MODULE):
        among = f"at most {max(most, 0)} where {clients} clients train in a round"
        check(malicious <= max(most, 0), _key(algorithm, "num_malicious_nodes"), among, malicious)
        chosen = arguments.get("num_nodes_to_select", 1)
        among = f"at most {clients}, the clients that train in a round"
        check(chosen <= clients, _key(algorithm, "num_nodes_to_select"), among, chosen)


def trims_nobody(algorithm: Mapping[str, Any], clients: int) -> str | None:
    """Return a sentence if FedTrimmedAvg has too few clients to leave out any at either end, None if it has enough.

    Args:
        algorithm: ``config.algorithm``.
        clients: how many train in a round.
    """
    arguments = algorithm["strategy"]
    beta = arguments.get("beta", 0.2)
    target = str(arguments["_target_"])
    if not (target.startswith(MODULE) and target.endswith(".FedTrimmedAvg")) or int(beta * clients) > 0:
        return None
    return (
        f"{_key(algorithm, 'beta')}={beta:g} of {clients} clients is less than one: FedTrimmedAvg leaves out nobody "
        "and takes the plain mean"
    )


def _key(algorithm: Mapping[str, Any], name: str) -> str:
    return f"algorithm.{name}" if name in algorithm else f"algorithm.strategy.{name}"
