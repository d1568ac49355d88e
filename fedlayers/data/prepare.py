"""Prepared data sets: every record in memory-mappable arrays, made once and kept in the cache."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedlayers.data.cache import build_once, cache_root, open_array
from fedlayers.data.source import Arrays, Facts, Source
from fedlayers.errors import UserError

# Part of every cache key: to be raised when a loader changes what it returns.
LOADER_VERSION = 1


@dataclass(frozen=True)
class Prepared:
    """A data set's memory-mapped arrays, and the key under which they are cached."""

    name: str
    key: str
    arrays: Arrays

    @property
    def num_train(self) -> int:
        """The number of records that are not in the official test set."""
        return len(self.arrays.labels) - self.arrays.facts.num_test


def prepare(source: Source, spec: Mapping[str, Any], root: Path) -> Prepared:
    """Return a data set's arrays from the cache, filled first if it has no entry for these files and arguments.

    Args:
        source: the data set.
        spec: its configuration; arguments and ``name`` are part of the cache's key.
        root: the folder of all data sets.

    Raises:
        UserError: if files are missing or damaged.
    """
    key = digest({"loader": LOADER_VERSION, "spec": dict(spec), "files": _fingerprint(source.files(root))})
    name = str(spec["name"])
    tag = "".join(letter if letter.isalnum() else "-" for letter in name)
    folder = build_once(
        cache_root() / "prepared" / f"{tag}-{key}", lambda draft: _write(draft, source.read(root), name)
    )
    facts = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    groups = folder / "groups.npy"
    arrays = Arrays(
        open_array(folder / "features.npy"),
        open_array(folder / "labels.npy"),
        _facts(facts),
        open_array(groups) if groups.exists() else None,
    )
    return Prepared(name, key, arrays)


def digest(content: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits that name some content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _fingerprint(files: Sequence[Path]) -> list[tuple[str, int, int]]:
    return [(str(path), (stat := path.stat()).st_size, stat.st_mtime_ns) for path in files]


def _facts(content: Mapping[str, Any]) -> Facts:
    """Return the facts as they were before JSON made lists of the tuples."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return Facts(**values)


def _write(draft: Path, arrays: Arrays, name: str) -> None:
    _check(arrays, name)
    np.save(draft / "features.npy", np.ascontiguousarray(arrays.features))
    np.save(draft / "labels.npy", arrays.labels)
    if arrays.groups is not None:
        np.save(draft / "groups.npy", arrays.groups)
    (draft / "meta.json").write_text(json.dumps(asdict(arrays.facts)), encoding="utf-8")


def _check(arrays: Arrays, name: str) -> None:
    labels, num_classes = arrays.labels, len(arrays.facts.classes)
    if len(labels) - arrays.facts.num_test < 1:
        raise UserError(f"dataset must have training records, got none in {name}; check its files")
    if labels.min() < 0 or labels.max() >= num_classes:
        span = f"{labels.min()} to {labels.max()}"
        raise UserError(
            f"dataset: the labels of {name} must be 0 to {num_classes - 1}, got {span}; leave unlabelled records out"
        )
    if arrays.features.dtype != np.uint8 and np.isinf(arrays.features).any():
        raise UserError(
            f"dataset: the features of {name} must be finite or missing (NaN), got infinite values; replace them"
        )
