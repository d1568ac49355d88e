"""Columns of classes as codes from 0: class labels of the ``datasets`` library, integers, truth values or text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.formats.numbers import flat, is_text
from fedlayers.data.formats.place import ColumnPlace

# Fractions that are classes, such as marks of half a point, are few.
MOST_FRACTIONS = 20
MOST_FLOATS = 100


@dataclass(frozen=True)
class Codes:
    """A column's codes, int64, shape (n,), and their names in order."""

    codes: np.ndarray
    names: tuple[str, ...]

    def said(self, column: str, num_test: int) -> tuple[str, ...]:
        """Return a sentence about the names that only the last ``num_test`` examples have, if there are any."""
        split = len(self.codes) - num_test
        only = np.setdiff1d(self.codes[split:], self.codes[:split])
        if not len(only):
            return ()
        shown = ", ".join(self.names[code] for code in only[:5]) + (" …" if len(only) > 5 else "")
        return (f"values of column {column} that only test examples have: {shown}",)


def alike(column: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence about names that differ only by spaces at the ends or by upper and lower case, if any do."""
    sets: dict[str, list[str]] = {}
    for name in names:
        sets.setdefault(name.strip().casefold(), []).append(name)
    doubtful = [" and ".join(map(repr, same)) for same in sets.values() if len(same) > 1]
    if not doubtful:
        return ()
    shown = ", ".join(doubtful[:3]) + (" …" if len(doubtful) > 3 else "")
    return (
        f"values of column {column} that differ only by spaces or upper and lower case count as different: {shown}; "
        "write them alike in the data if they mean the same",
    )


def codes_of(parts: Sequence[Any], kinds: Sequence[Any], key: str, place: ColumnPlace) -> Codes:
    """Return the codes of a column of classes or groups that goes through several splits.

    Names are those of the class labels, in the first split's order, then those that only a later one has; of other
    columns the sorted values.

    Args:
        parts: a ``pyarrow.ChunkedArray`` for each split.
        kinds: the column's type in the ``datasets`` library for each split.
        key: ``dataset.label`` or ``dataset.group``, for error messages.
        place: how they name examples.

    Raises:
        UserError: if an example has no value, a class label that has no name or something that is no plain value, or
            the values are measurements rather than classes.
    """
    arrays = [flat(part) for part in parts]
    _refuse_missing(np.concatenate([_is_missing(array) | _is_blank(array) for array in arrays]), key, place)
    named = [getattr(kind, "names", None) for kind in kinds]
    if all(names is not None for names in named):
        return _named(arrays, [list(names) for names in named if names is not None], key, place)
    plain = [_plain(array, key, place) for array in arrays]
    _refuse_partly_unlabelled(plain, key, place)
    values = np.concatenate(plain)
    found, codes = np.unique(values, return_inverse=True)
    _refuse_measurements(found, len(values), key, place)
    return Codes(codes.astype(np.int64), tuple(str(value) for value in found))


def is_unlabelled(test: Any, train: Any) -> bool:
    """Return whether no example of an official test set has a label: all are missing, or −1, which training has not.

    Args:
        test: its labels, a ``pyarrow.ChunkedArray``.
        train: those of the training examples.
    """
    labels, known = flat(test), flat(train)
    if len(labels) == 0 or _is_missing(labels).all():
        return True
    return _are_numbers(labels) and set(labels.unique().to_pylist()) == {-1} and not _has_minus_one(known)


def _has_minus_one(array: Any) -> bool:
    return _are_numbers(array) and -1 in array.unique().to_pylist()


def _are_numbers(array: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(array.type) or pa.types.is_floating(array.type))


def _is_missing(array: Any) -> np.ndarray:
    import pyarrow as pa

    missing: np.ndarray = array.is_null(nan_is_null=pa.types.is_floating(array.type)).to_numpy(zero_copy_only=False)
    return missing


def _is_blank(array: Any) -> np.ndarray:
    """Return which texts have no letters: nothing that a class could be called by."""
    if not is_text(array.type):
        return np.zeros(len(array), bool)
    return np.array([text is not None and not text.strip() for text in array.to_pylist()], bool)


def _refuse_missing(missing: np.ndarray, key: str, place: ColumnPlace) -> None:
    if missing.any():
        first = place.example(int(np.flatnonzero(missing)[0]))
        others = f" and {missing.sum() - 1} others have" if missing.sum() > 1 else " has"
        raise UserError(
            f"{key} must name a column without missing values, got {place.column}: {first}{others} none; "
            "leave these examples out"
        )


def _named(arrays: Sequence[Any], named: Sequence[list[str]], key: str, place: ColumnPlace) -> Codes:
    """Return the codes of class labels; splits may give the same names other numbers."""
    names = list(dict.fromkeys(name for own in named for name in own))
    codes, before = [], 0
    for array, own in zip(arrays, named, strict=True):
        numbers = array.to_numpy(zero_copy_only=False).astype(np.int64)
        wrong = np.flatnonzero((numbers < 0) | (numbers >= len(own)))
        if len(wrong):
            raise UserError(
                f"{key} must name a column of class labels 0 to {len(own) - 1}, got {place.column}: "
                f"{place.example(before + int(wrong[0]))} has {numbers[wrong[0]]}; leave unlabelled examples out"
            )
        codes.append(np.array([names.index(name) for name in own], np.int64)[numbers])
        before += len(numbers)
    return Codes(np.concatenate(codes), tuple(names))


def _plain(array: Any, key: str, place: ColumnPlace) -> np.ndarray:
    """Return values that can be sorted and named."""
    import pyarrow as pa

    kind, types = array.type, pa.types
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        plain: np.ndarray = array.to_numpy(zero_copy_only=False)
        return plain
    if is_text(kind):
        return np.array(array.to_pylist(), dtype=np.str_)
    if types.is_decimal(kind):
        return np.array(array.to_pylist(), dtype=object)
    raise UserError(
        f"{key} must name a column of one plain value an example (integer, text or truth value), got {place.column}: "
        f"{place.example(0)} holds {kind}; write the class into a column of its own"
    )


def _refuse_partly_unlabelled(parts: Sequence[np.ndarray], key: str, place: ColumnPlace) -> None:
    """Refuse −1 in a later split if the first has none: test examples whose label is kept secret."""
    before = len(parts[0])
    for part in parts[1:]:
        wrong = np.flatnonzero(part == -1)
        if len(wrong) and -1 not in parts[0]:
            raise UserError(
                f"{key} must name a column with a label for every test example or for none, got {place.column}: "
                f"{place.example(before + int(wrong[0]))} has -1; leave unlabelled examples out"
            )
        before += len(part)


def _refuse_measurements(found: np.ndarray, count: int, key: str, place: ColumnPlace) -> None:
    """Refuse what is sorted into classes of hardly any examples: measurements, dates, names of examples."""
    if key != "dataset.label":
        return
    if len(found) == 1:
        raise UserError(f"{key} must name a column with two or more classes, got {place.column} with only {found[0]}")
    floating = found.dtype.kind == "f" or found.dtype == object
    fractions = floating and any(value != int(value) for value in found.tolist() if np.isfinite(float(value)))
    most = (MOST_FRACTIONS if fractions else MOST_FLOATS) if floating else max(MOST_FRACTIONS, count // 2)
    if len(found) > most or (floating and not all(np.isfinite(float(value)) for value in found.tolist())):
        shown = ", ".join(str(value) for value in found[:3])
        raise UserError(
            f"{key} must name a column of classes, got {place.column} with {len(found)} different values in {count} "
            f"examples ({shown} …); name another column, or sort these values into classes first"
        )
