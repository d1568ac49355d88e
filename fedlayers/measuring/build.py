"""Builds the metrics that a configuration names."""

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from fedlayers.config.old_names import HALVES
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
            if other != name:
                raise UserError(
                    f"metrics.{name} must state quantities of its own in its facts, got {facts.name}, which "
                    f"metrics.{other} measures; give it another name"
                )


def _build(name: str, entry: Any) -> Metric:
    if not isinstance(entry, Mapping) or "_target_" not in entry:
        example = "{_target_: my.module.MyMetric}"
        raise UserError(f"metrics.{name} must name a class, as in {example}, got {entry!r}")
    try:
        metric = instantiate(dict(entry), _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, UserError):
            # A schedule knows its metric by the class alone, which may be configured under another name.
            own = f"metrics.{str(entry['_target_']).rpartition('.')[2].lower()}."
            text = str(cause)
            raise UserError(f"metrics.{name}.{text.removeprefix(own)}" if text.startswith(own) else text) from None
        # What our metrics raise on purpose begins with the argument's name.
        text = " ".join(str(cause).split()) if isinstance(cause, ValueError) else _one_line(cause)
        argument, _, rest = text.partition(" ")
        if key := _dotted(f"metrics.{name}", entry, argument):
            raise UserError(f"{key} {rest}") from None
        raise UserError(f"metrics.{name} cannot be built from {entry['_target_']}: {text}") from None
    if not isinstance(metric, Metric):
        target = entry["_target_"]
        raise UserError(f"metrics.{name}._target_ must be a subclass of metrics.base.Metric, got {target}")
    if old := next((half for half in HALVES if hasattr(metric, half)), None):
        raise UserError(
            f"metrics.{name}._target_ must have halves that are called, got {old} in {entry['_target_']}; it is called "
            f"{HALVES[old]} now"
        )
    return metric


def _dotted(key: str, entry: Mapping[str, Any], argument: str) -> str | None:
    """Return the dotted key of an argument of a metric, or of something among its arguments; None if it has none."""
    if argument in entry:
        return f"{key}.{argument}"
    inner = [_dotted(f"{key}.{name}", value, argument) for name, value in entry.items() if isinstance(value, Mapping)]
    return next((dotted for dotted in inner if dotted), None)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:400]
