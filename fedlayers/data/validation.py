"""What a data set returned, checked and brought to the types that runs use."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.formats.exact import floats
from fedlayers.data.source import Arrays, DatasetFacts
from fedlayers.data.token_arrays import checked_tokens


def checked(arrays: Arrays, name: str) -> Arrays:
    """Return a data set's arrays in the types that runs use.

    Images of bytes stay bytes, tokens become int32, all other features float32, or float64 where that would lose
    digits; labels and groups become int64; images without ``mean`` and ``std`` get those of the training images.

    Args:
        arrays: see :class:`fedlayers.data.source.Arrays`.
        name: what error messages call the data set.

    Raises:
        UserError: if shapes, types or values cannot be those of a classification data set.
    """
    facts, given = _named(arrays.facts, name), np.asarray(arrays.features)
    _check_shape(given, name)
    labels = _labels(arrays.labels, len(given), facts, name)
    groups = None
    if arrays.groups is not None:
        groups = _codes(arrays.groups, len(given), len(facts.group_names), "groups", name)
    if not 0 <= facts.num_test < len(given):
        raise UserError(
            f"dataset must have training examples, got none in {name} ({len(given)} examples, of which "
            f"{facts.num_test} are for testing); check its files"
        )
    if facts.vocabulary:
        return Arrays(checked_tokens(given, facts, name), labels, facts, groups)
    features, notes = _features(given, facts, name)
    _check_values(features, facts, name)
    facts = replace(facts, notes=(*facts.notes, *notes))
    if features.ndim == 4:
        facts = _with_normalisation(features, facts, name)
    return Arrays(features, labels, facts, groups)


def _named(facts: DatasetFacts, name: str) -> DatasetFacts:
    """Return the facts with texts for names, which tables and figures tell classes and groups by."""
    for what, names in (("classes", facts.classes), ("group_names", facts.group_names)):
        texts = [str(entry) for entry in names]
        if len(set(texts)) < len(texts) or not all(text.strip() for text in texts) or (what == "classes" and not texts):
            raise UserError(f"dataset: {what} of {name} must be different names, got {texts[:20]}; rename them")
    return replace(facts, classes=tuple(map(str, facts.classes)), group_names=tuple(map(str, facts.group_names)))


def _check_shape(features: np.ndarray, name: str) -> None:
    if features.ndim not in (2, 4) or 0 in features.shape[1:]:
        ways = {1: "reshape it to (n, 1)", 3: "images need a channel axis, (n, 1, h, w); lay others out flat, (n, d)"}
        raise UserError(
            f"dataset: the features of {name} must be images (n, c, h, w) or rows (n, d), got shape {features.shape}; "
            + ways.get(features.ndim, "bring them into one of these shapes")
        )
    if features.dtype.kind not in "biuf":
        raise UserError(f"dataset: the features of {name} must be real numbers, got {features.dtype}; convert them")


def _codes(values: Any, count: int, kinds: int, what: str, name: str) -> np.ndarray:
    """Return labels or groups as int64."""
    codes = np.asarray(values)
    if codes.shape != (count,) or codes.dtype.kind not in "biu":
        raise UserError(
            f"dataset: the {what} of {name} must be {count} integers, one an example, got {codes.dtype} of shape "
            f"{codes.shape}; convert them"
        )
    if count and (codes.min() < 0 or codes.max() >= kinds):
        first = int(np.flatnonzero((codes < 0) | (codes >= kinds))[0])
        raise UserError(
            f"dataset: the {what} of {name} must be 0 to {kinds - 1}, got {codes.min()} to {codes.max()}, the first of "
            f"them in example {first}; leave unlabelled examples out"
        )
    return codes.astype(np.int64)


def _labels(values: Any, count: int, facts: DatasetFacts, name: str) -> np.ndarray:
    """Return classes, or label sets, as int64."""
    labels, classes = np.asarray(values), len(facts.classes)
    if len(facts.label_groups) not in (0, classes) or (facts.label_groups and labels.ndim != 2):
        raise UserError(
            f"dataset: label_groups of {name} must name a group for each of {classes} labels of label sets, got "
            f"{len(facts.label_groups)} with labels of shape {labels.shape}; leave them empty for one group"
        )
    if labels.ndim != 2 or labels.shape[1] == 1 < classes:
        return _codes(labels, count, classes, "labels", name)
    right = labels.shape == (count, classes) and labels.dtype.kind in "biu"
    if not right or (count and not np.isin(labels, (0, 1)).all()):
        raise UserError(
            f"dataset: the label sets of {name} must be 0 or 1 for each of {count} examples and {classes} labels, got "
            f"{labels.dtype} of shape {labels.shape}; say for every label whether it holds"
        )
    return labels.astype(np.int64)


def _features(given: np.ndarray, facts: DatasetFacts, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return features as bytes or floats, and sentences about what was subtracted."""
    if given.ndim == 4 and given.dtype == np.uint8:
        return given, ()
    if given.ndim == 2 and facts.columns and len(facts.columns) != given.shape[1]:
        raise UserError(
            f"dataset: the facts of {name} must name {given.shape[1]} columns, got {len(facts.columns)}; "
            "name all or none"
        )
    if given.ndim == 4:  # what is subtracted per pixel would change the picture
        return floats(given.astype(np.float64) if given.dtype.kind in "iu" else given).values, ()
    result = floats(given)
    return result.values, result.said(lambda j: f"column {_column(facts, j)}")


def _column(facts: DatasetFacts, number: int) -> str:
    return facts.columns[number] if facts.columns else str(number)


def _check_values(features: np.ndarray, facts: DatasetFacts, name: str) -> None:
    """Refuse infinite values, and missing ones in images."""
    if features.dtype == np.uint8:
        return
    is_image = features.ndim == 4
    wrong = ~np.isfinite(features) if is_image else np.isinf(features)
    if not wrong.any():
        return
    place = np.argwhere(wrong)[0]
    example = f"example {place[0]}" + ("" if is_image else f" of column {_column(facts, int(place[1]))}")
    allowed = "finite" if is_image else "finite or missing (NaN)"
    found = "values that are not" if is_image else "infinite values"
    raise UserError(f"dataset: the features of {name} must be {allowed}, got {found}, first in {example}; replace them")


def _with_normalisation(images: np.ndarray, facts: DatasetFacts, name: str) -> DatasetFacts:
    """Return the facts with ``mean`` and ``std`` of every channel: those given, else the training images' own."""
    channels = images.shape[1]
    if not facts.mean and not facts.std:
        training = images[: len(images) - facts.num_test]
        parts = [_mean_and_std(training[:, channel]) for channel in range(channels)]
        return replace(facts, mean=tuple(mean for mean, _ in parts), std=tuple(std for _, std in parts))
    right = len(facts.mean) == len(facts.std) == channels
    if not right or not all(math.isfinite(v) for v in (*facts.mean, *facts.std)) or min(facts.std) <= 0:
        raise UserError(
            f"dataset: mean and std of {name} must be {channels} finite numbers each, std positive, got {facts.mean} "
            f"and {facts.std}; leave both empty for those of the training images"
        )
    return facts


def _mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation to six digits of the latter, so that all processors get the same."""
    mean, std = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    if std == 0 or values.min() == values.max():
        return mean, 1.0
    digits = 5 - math.floor(math.log10(std))
    return round(mean, digits), round(std, digits)
