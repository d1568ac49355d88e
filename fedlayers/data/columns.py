"""Which columns of a table are features and labels: those that were named, or the only ones that can be."""

from collections.abc import Mapping
from typing import Any

from fedlayers.errors import UserError

NUMBERS = ("int", "uint", "float", "double", "bool")


def choose_columns(
    features: Mapping[str, Any], feature: str | None, label: str | None, group: str | None
) -> tuple[str, str]:
    """Return the names of the feature and the label column.

    Args:
        features: column name -> its type in the ``datasets`` library.
        feature: the feature column if it was named, else None: the only column with images, else with numbers.
        label: the label column if it was named, else None: the only column of class labels, else the only one
            called ``label`` or ``labels``, else the only other column of integers or text.
        group: the column of natural groups, which is neither.

    Raises:
        UserError: if a named column does not exist, or several or no columns come into question; lists all columns.
    """
    listed = ", ".join(f"{name} ({_kind(kind)})" for name, kind in features.items())
    for key, name in (("feature", feature), ("label", label), ("group", group)):
        if name is not None and name not in features:
            raise UserError(f"dataset.{key} must be a column of the data set, got {name}; its columns are: {listed}")
    free = {name: kind for name, kind in features.items() if name not in (feature, label, group)}
    images = [name for name, kind in free.items() if _kind(kind) == "image"]
    vectors = [name for name, kind in free.items() if _kind(kind) == "numbers"]
    feature = feature or _only("feature", (images, vectors), listed)
    labels = [name for name, kind in free.items() if _kind(kind) == "class label"]
    named = [name for name in free if name in ("label", "labels")]
    scalars = [name for name, kind in free.items() if _kind(kind) in ("integer", "text") and name != feature]
    return feature, label or _only("label", (labels, named, scalars), listed)


def _only(key: str, choices: tuple[list[str], ...], listed: str) -> str:
    """Return the only name in the first choice that is not empty."""
    candidates = next((names for names in choices if names), [])
    if len(candidates) != 1:
        raise UserError(
            f"dataset.{key} must name a column, got null, and {'several' if candidates else 'no'} columns "
            f"could be meant; the columns are: {listed}"
        )
    return candidates[0]


def _kind(column: Any) -> str:
    """Return what a column holds, in one of six words."""
    name = type(column).__name__
    if name == "Image":
        return "image"
    if name == "ClassLabel":
        return "class label"
    dtype = str(getattr(column, "dtype", ""))
    if name == "Value":
        return "text" if "string" in dtype else "integer" if "int" in dtype or dtype == "bool" else "other"
    while (inner := getattr(column, "feature", None)) is not None:
        column = inner
    return "numbers" if str(getattr(column, "dtype", "")).startswith(NUMBERS) else "other"
