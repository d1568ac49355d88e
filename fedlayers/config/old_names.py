"""What keys, values and columns were called before: told to who still writes them, understood where runs are read."""

from collections.abc import Mapping
from typing import Any

# The last part of a dotted key -> what it is now.
_KEYS = {
    "records_per_client": "examples_per_client",
    "batch_records": "batch_examples",
    "records_per_degree": "examples_per_degree",
}
# Key and value -> what the value is now.
_VALUES = {("weighting", "records"): "examples"}
# Hooks of a client -> what they are now. One that is no longer called would change numbers without a word.
HOOKS = {
    "training_records": "training_examples",
    "evaluated": "evaluated_models",
    "evaluated_model": "evaluated_models",
}
# Columns of partition.parquet.
_COLUMNS = {"records": "examples"}


def new_key(key: str) -> str | None:
    """Return what a dotted key is called now, None if it has no other name."""
    parent, dot, last = key.rpartition(".")
    return f"{parent}{dot}{_KEYS[last]}" if last in _KEYS else None


def new_value(key: str, value: object) -> str | None:
    """Return what a key's value is called now, None if it has no other name."""
    return _VALUES.get((key, value)) if isinstance(value, str) else None


def in_new_words(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys and values of a run's configuration as they are called now."""
    return {new_key(key) or key: new_value(key, value) or value for key, value in settings.items()}


def new_columns(names: list[str]) -> list[str]:
    """Return the columns of a run's partition table as they are called now."""
    return [_COLUMNS.get(name, name) for name in names]
