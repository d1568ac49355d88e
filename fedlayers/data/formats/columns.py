"""Which columns of a table are features and labels: those that were named, or the only ones that can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedlayers.core.errors import UserError

NUMBERS = ("int", "uint", "float", "double", "bool", "decimal", "timestamp", "date", "time", "duration")
LABELS = ("label", "labels")
# Columns that number the examples, some of them written by pandas.
COUNTERS = ("id", "idx", "index")
# What a column is called that has no name in its file: the row names of pandas, or what stands in front of the first
# column where examples have more values than the first line has names.
NAMELESS = "__index_level_"


@dataclass(frozen=True)
class Columns:
    """The columns of a data set.

    Attributes:
        features: one column of pictures or lists, or several of single numbers.
        label: the column of classes.
        pictures: whether ``features`` is a column of pictures.
        notes: sentences about what was guessed.
    """

    features: tuple[str, ...]
    label: str
    pictures: bool
    notes: tuple[str, ...] = ()


def choose_columns(
    features: Mapping[str, Any], feature: str | Sequence[str] | None, label: str | None, group: str | None
) -> Columns:
    """Return the feature columns and the label column.

    Args:
        features: column name -> its type in the ``datasets`` library.
        feature: the feature column or columns if named, else None: the only column with pictures, else with lists of
            numbers, else all columns of single numbers that are left, if no column of another kind is left.
        label: the label column if it was named, else None: the only column of class labels, else the only one
            called ``label`` or ``labels``, else the only other column of integers or text.
        group: the column of natural groups, which is neither.

    Raises:
        UserError: if a named column does not exist, or several or no columns come into question; lists all columns.
    """
    offered = without_index(features)
    listed = ", ".join(f"{name} ({_kind(kind)})" for name, kind in offered.items())
    chosen = () if feature is None else (feature,) if isinstance(feature, str) else tuple(map(str, feature))
    for key, names in (("feature", chosen), ("label", (label,)), ("group", (group,))):
        for name in names:
            if name is not None and name not in (offered if key == "feature" else features):
                raise UserError(
                    f"dataset.{key} must be a column of the data set, got {name}; its columns are: {listed}"
                )
    named = [name for name in (*chosen, label, group) if name is not None]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise UserError(
            f"dataset.feature, dataset.label and dataset.group must be different columns, got {twice} twice"
        )
    kinds = {name: _kind(kind) for name, kind in offered.items() if name not in (*chosen, label, group)}
    single = chosen or _single_feature(kinds, listed)
    label = label or _label({name: kind for name, kind in kinds.items() if name not in single}, listed)
    if single:
        return Columns(single, label, _kind(features[single[0]]) in ("image", "bytes") and len(single) == 1)
    return _table({name: kind for name, kind in kinds.items() if name != label}, label, listed)


def without_index(features: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that have a name in their file."""
    return {name: kind for name, kind in features.items() if not name.startswith(NAMELESS)}


def said_of_index(features: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a sentence about the columns that have no name, if there are any."""
    if len(without_index(features)) == len(features):
        return ()
    return (
        "a column without a name in the file is no feature; in a text file examples may have more values than the "
        "first line has names (decimal commas, a comma at the end), which shifts all columns",
    )


def _single_feature(kinds: Mapping[str, str], listed: str) -> tuple[str, ...]:
    """Return the only column of pictures or lists; none if a table of single numbers may be meant."""
    choices = tuple(
        [name for name, kind in kinds.items() if kind == wanted and name not in LABELS]
        for wanted in ("image", "bytes", "numbers")
    )
    integers = sum(kind in ("integer", "class label") for kind in kinds.values())
    if not any(choices) and ("number" in kinds.values() or integers > 1):
        return ()
    return (_only("feature", choices, listed),)


def _label(kinds: Mapping[str, str], listed: str) -> str:
    labels = [name for name, kind in kinds.items() if kind == "class label"]
    named = [name for name in kinds if name in LABELS]
    scalars = [name for name, kind in kinds.items() if kind in ("integer", "text")]
    return _only("label", (labels, named, scalars), listed)


def _table(kinds: Mapping[str, str], label: str, listed: str) -> Columns:
    """Return all single numbers as features; text and other kinds have to be left out by name."""
    counters = [name for name in kinds if name.lower() in COUNTERS or name.startswith("Unnamed: ")]
    rest = {name: kind for name, kind in kinds.items() if name not in counters}
    numbers = [name for name, kind in rest.items() if kind in ("integer", "number", "class label")]
    if not numbers or len(numbers) < len(rest):
        raise UserError(
            "dataset.feature must name a column, or several as [a,b], got null, and no columns could be meant but "
            f"single numbers beside others; the columns are: {listed}"
        )
    notes = [f"features are the columns {_few(numbers)}"]
    if counters:
        notes.append(f"{_few(counters)} only numbers the examples and is no feature; dataset.feature=[...] takes it")
    return Columns(tuple(numbers), label, False, tuple(notes))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else ", ".join(names[:7]) + f" … {names[-1]} ({len(names)})"


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
    """Return what a column holds, in one of eight words."""
    name = type(column).__name__
    if name == "Image":
        return "image"
    if _is_encoded(column):
        return "bytes"
    if name == "ClassLabel":
        return "class label"
    if name == "Value":
        return _single(str(column.dtype))
    while (inner := getattr(column, "feature", None)) is not None:
        column = inner
    return "numbers" if str(getattr(column, "dtype", "")).startswith(NUMBERS) else "other"


def _single(dtype: str) -> str:
    if "string" in dtype:
        return "text"
    if dtype == "bool" or dtype.startswith(("int", "uint")):
        return "integer"
    return "number" if dtype.startswith(NUMBERS) else "other"


def _is_encoded(column: Any) -> bool:
    """Return whether a column holds encoded files: bytes, or bytes beside a path, as the library writes pictures."""
    content = column.get("bytes") if isinstance(column, dict) and set(column) <= {"bytes", "path"} else column
    return "binary" in str(getattr(content, "dtype", ""))
