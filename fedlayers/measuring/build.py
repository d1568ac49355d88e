"""Builds the metrics that a configuration names."""

from collections.abc import Mapping
from typing import Any

from fedlayers.config.building import build_plugin
from fedlayers.config.schema.old_names import refuse_old_methods
from fedlayers.core.errors import UserError
from metrics.base import Facts, Metric

# Keys of the group ``metrics`` that are settings, not metrics.
RESERVED = ("on_error", "payload_mb")


def build_metrics(config: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the metrics of a configuration by name, in alphabetical order.

    Args:
        config: ``config.metrics``: name -> ``_target_`` and arguments, or None to leave that metric out; beside
            them ``on_error`` (record or raise) and ``payload_mb``.

    Raises:
        UserError: if a setting is out of range, or an entry cannot be built; the sentence names its key.
    """
    on_error, payload_mb = config.get("on_error", "record"), config.get("payload_mb", 64)
    if on_error not in ("record", "raise"):
        raise UserError(f"metrics.on_error must be record or raise, got {on_error!r}")
    if isinstance(payload_mb, bool) or not isinstance(payload_mb, int | float) or not payload_mb > 0:
        raise UserError(f"metrics.payload_mb must be a positive number of megabytes, got {payload_mb!r}")
    entries = {name: entry for name, entry in config.items() if name not in RESERVED and entry is not None}
    metrics = {name: _build(name, entries[name]) for name in sorted(entries)}
    _check_names(metrics)
    return metrics


def _check_names(metrics: Mapping[str, Metric]) -> None:
    """Raise UserError if a metric states no facts, or two the same quantity: nobody could tell their rows apart."""
    whose: dict[str, str] = {}
    for name, metric in metrics.items():
        if not isinstance(metric.facts, tuple) or not all(isinstance(facts, Facts) for facts in metric.facts):
            raise UserError(
                f"metrics.{name} must state a tuple of metrics.base.Facts in its facts, got {metric.facts!r}"
            )
        for facts in metric.facts:
            other = whose.setdefault(facts.name, name)
            if other != name and not {facts.name} <= metric.common & metrics[other].common:
                raise UserError(
                    f"metrics.{name} must state quantities of its own in its facts, got {facts.name}, which "
                    f"metrics.{other} measures; give it another name"
                )


def _build(name: str, entry: Any) -> Metric:
    try:
        metric: Metric = build_plugin(f"metrics.{name}", entry, Metric, "a subclass of metrics.base.Metric")
    except UserError as error:
        # A schedule knows its metric by the class alone, which may be configured under another name.
        own = f"metrics.{_class_name(entry).lower()}."
        if not str(error).startswith(own):
            raise
        raise UserError(f"metrics.{name}.{str(error).removeprefix(own)}") from None
    refuse_old_methods(f"metrics.{name}", entry["_target_"], metric, "halves")
    return metric


def _class_name(entry: Any) -> str:
    return str(entry.get("_target_")).rpartition(".")[2] if isinstance(entry, Mapping) else ""
