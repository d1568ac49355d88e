"""The plug-ins of a configuration: where they stand, and their check before anything is built."""

from collections.abc import Iterator, Mapping
from typing import Any

from fedlayers.config.building import check_plugin
from fedlayers.config.settings import Config

CLIENT, STRATEGY = "algorithm.client", "algorithm.strategy"


def check_plugins(config: Config) -> None:
    """Check that every ``_target_`` exists and takes the arguments given; data and model are not touched.

    Raises:
        UserError: naming the dotted key and what is allowed.
    """
    above = decided_above(config.algorithm)
    for key, node in _plugins(config):
        # A client is given its session by position.
        check_plugin(key, node, above if key in (CLIENT, STRATEGY) else {}, by_position=int(key == CLIENT))


def decided_above(algorithm: Mapping[str, Any]) -> dict[str, str]:
    """Return argument -> the key of the algorithm's that decides it, for its strategy and its client."""
    return {name: f"algorithm.{name}" for name in algorithm if name not in ("name", "strategy", "client")}


def _plugins(config: Config) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and content of every plug-in, but for those among another's arguments."""
    yield from {"dataset": config.dataset, "partition": config.partition, "model": config.model}.items()
    yield from ((f"algorithm.{part}", config.algorithm.get(part, {})) for part in ("strategy", "client"))
    # Similarities first: the metric that compares by them has them among its arguments.
    for group in ("similarity", "metrics"):
        nodes = getattr(config, group)
        yield from ((f"{group}.{name}", node) for name, node in nodes.items() if isinstance(node, dict))
