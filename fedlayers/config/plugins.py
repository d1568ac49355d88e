"""The plug-ins of a configuration: where they stand, and their check before anything is built."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fedlayers.config.building import check_plugin, located
from fedlayers.config.schema.settings import Config

CLIENT, STRATEGY, LEARNER = "algorithm.client", "algorithm.strategy", "learner"
# The plug-ins that have been checked, in words, and what they name.
_checked: set[tuple[str, Callable[..., Any]]] = set()


def check_plugins(config: Config) -> None:
    """Check that every ``_target_`` exists and takes the arguments given; data and model are not touched.

    Raises:
        UserError: naming the dotted key and what is allowed.
    """
    above = decided_above(config.algorithm)
    for key, node in plugins(config):
        own = above if key in (CLIENT, STRATEGY) else {}
        # The runs of a sweep share most of their plug-ins; a notebook may give a name to another class.
        if (seen := (f"{key}: {node!r} {own}", located(key, node))) not in _checked:
            check_plugin(key, node, own, by_position=given_by_position(key, node))
            _checked.add(seen)


def given_by_position(key: str, node: Any) -> int:
    """Return how many arguments a run gives by position.

    A client gets its session, a learner its task, a function that is an objective outputs and labels.

    Args:
        key: the plug-in's dotted key.
        node: ``_target_`` and its arguments.

    Raises:
        UserError: what it names does not exist.
    """
    is_function = key == "objective" and not isinstance(located(key, node), type)
    return 2 if is_function else int(key in (CLIENT, LEARNER))


def decided_above(algorithm: Mapping[str, Any]) -> dict[str, str]:
    """Return argument -> the key of the algorithm's that decides it, for its strategy and its client."""
    return {name: f"algorithm.{name}" for name in algorithm if name not in ("name", "strategy", "client")}


def plugins(config: Config) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and content of every plug-in, but for those among another's arguments."""
    yield from ((group, getattr(config, group)) for group in ("dataset", "partition", "model", "objective", LEARNER))
    yield from ((f"algorithm.{part}", config.algorithm.get(part, {})) for part in ("strategy", "client"))
    yield from (("plan.rule", node) for node in [config.plan.rule] if node)
    # Similarities first: the metric that compares by them has them among its arguments.
    for group in ("similarity", "metrics", "export", "tracking"):
        nodes = getattr(config, group)
        yield from ((f"{group}.{name}", node) for name, node in nodes.items() if isinstance(node, dict))
