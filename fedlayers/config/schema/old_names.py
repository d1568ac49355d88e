"""What keys, values and columns were called before: told to who still writes them, understood where runs are read."""

from collections.abc import Mapping
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import in_new_names

# The last part of a dotted key -> what it is now.
_KEYS = {
    "records_per_client": "examples_per_client",
    "batch_records": "batch_examples",
    "records_per_degree": "examples_per_degree",
}
# A whole dotted key -> what it is now.
_WHOLE_KEYS = {"metrics.distances.epochs": "metrics.distances.steps"}
# Key and value -> what the value is now.
_VALUES = {
    ("weighting", "records"): "examples",
    ("metrics.distances.epochs", True): '["every epoch"]',
    ("metrics.distances.epochs", False): "[]",
}
# Keys that name distances, of which old names are understood.
_OF_DISTANCES = ("metrics.distances.names", "metrics.clusters.distance")
# Keys that runs of before had not -> the value that stands for what they did.
_ADDED = {"metrics.weights.steps": "[]"}
# Methods of a plug-in -> what they are now. One that is no longer called would change numbers without a word.
_METHODS = {
    "hooks": {
        "training_records": "training_examples",
        "evaluated": "evaluated_models",
        "evaluated_model": "evaluated_models",
        "after_step": "observers",
    },
    "halves": {"epoch": "step"},
}
# Columns of partition.parquet.
_COLUMNS = {"records": "examples"}


def new_key(key: str) -> str | None:
    """Return what a dotted key is called now, None if it has no other name."""
    if key in _WHOLE_KEYS:
        return _WHOLE_KEYS[key]
    parent, dot, last = key.rpartition(".")
    return f"{parent}{dot}{_KEYS[last]}" if last in _KEYS else None


def new_value(key: str, value: object) -> str | None:
    """Return what a key's value is called now, None if it has no other name."""
    if key in _OF_DISTANCES and isinstance(value, str):
        return now if (now := in_new_names(value)) != value else None
    return _VALUES.get((key, value)) if isinstance(value, str | bool) else None


def refuse_old_methods(key: str, target: str, found: object, kind: str) -> None:
    """Refuse a plug-in with a method that is called otherwise now.

    Args:
        key: its dotted key.
        target: its ``_target_``.
        found: the plug-in or its class.
        kind: of its methods: ``hooks`` of a client or ``halves`` of a metric.

    Raises:
        UserError: it has such a method.
    """
    now = _METHODS[kind]
    if old := next((name for name in now if name in dir(found)), None):
        raise UserError(
            f"{key}._target_ must have {kind} that are called, got {old} in {target}; it is called {now[old]} now"
        )


def in_new_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys and values of a run's configuration as they are called now."""
    known = {new_key(key) or key: new_value(key, value) or value for key, value in settings.items()}
    added = {key: value for key, value in _ADDED.items() if f"{key.rpartition('.')[0]}._target_" in known}
    return added | known


def new_columns(names: list[str]) -> list[str]:
    """Return the columns of a run's partition table as they are called now."""
    return [_COLUMNS.get(name, name) for name in names]
