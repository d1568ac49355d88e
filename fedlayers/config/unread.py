"""Refuses keys that were added to a configuration (``+key=value``) where nothing would read them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from fedlayers.config.advice import advice
from fedlayers.config.building import check_is_node
from fedlayers.config.options import known_keys, options_with
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError


def refuse_unread(composed: Mapping[Any, Any], words: Sequence[str]) -> None:
    """Raise UserError for keys that were added (``+key=value``) where nothing would read them.

    Args:
        composed: what was composed, by plain dictionaries, with references to other keys unresolved.
        words: the arguments.
    """
    _refuse_unknown(composed, Config, "")
    chosen = next((word for word in words if word.lstrip("+~").startswith(("similarity=", "similarity."))), None)
    entries = {str(name): metric for name, metric in composed["metrics"].items() if isinstance(metric, dict)}
    if chosen and not any("measures" in metric for metric in entries.values()):
        wanted = ",".join([*entries, "similarity"])
        raise UserError(f"{chosen} would have no effect without the metric that compares: add metrics=[{wanted}]")
    algorithm = composed["algorithm"]
    for part in ("strategy", "client"):
        check_is_node(f"algorithm.{part}", algorithm.get(part))
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


def _refuse_unknown(node: Mapping[Any, Any], kind: Any, prefix: str) -> None:
    types_by_name = {item.name: item.type for item in fields(kind)}
    for name in map(str, node):
        if name not in types_by_name:
            key = f"{prefix}{name}"
            raise UserError(f"no such key {key!r}; {advice(key, ())}")
        if is_dataclass(types_by_name[name]):
            _refuse_unknown(node[name], types_by_name[name], f"{prefix}{name}.")
