"""Prepared data sets: every example in memory-mappable arrays, made once and kept in the cache."""

import contextlib
import hashlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.core.machine.cache_root import cache_root
from fedlayers.data.cache import build_once, open_array, save_array, save_text
from fedlayers.data.sealed_folder import sealed_files
from fedlayers.data.source import Arrays, DatasetFacts, Source
from fedlayers.data.validation import checked

# Part of every cache key: to be raised when a loader changes what it returns.
LOADER_VERSION = 2


@dataclass(frozen=True)
class Prepared:
    """A data set's memory-mapped arrays.

    Attributes:
        name: the data set's name.
        key: names the source: files, their time stamps, arguments, code.
        digest: names the content: features, labels, groups and facts, wherever they came from.
        arrays: see :class:`fedlayers.data.source.Arrays`.
        notes: sentences about what was done to the data.
    """

    name: str
    key: str
    digest: str
    arrays: Arrays
    notes: tuple[str, ...] = ()

    @property
    def num_train(self) -> int:
        """The number of examples that are not in the official test set."""
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
    with _reading():
        files = source.files(root)
        stamps = _stamps(files)
    # A path says where files are, not what is in them; workers have it in another form.
    arguments = {key: value for key, value in spec.items() if not _is_path_of(value, files, root)}
    key = digest({"loader": LOADER_VERSION, "spec": arguments, "files": stamps, "code": _code(source)})
    name = str(spec["name"])
    tag = "".join(letter if letter.isalnum() else "-" for letter in name)[:40]
    folder = cache_root() / "prepared" / f"{tag}-{key}"

    def fill(draft: Path) -> None:
        with _reading():
            arrays = source.read(root)
        if _stamps(files) != stamps:
            raise UserError(f"dataset: the files of {name} must not change while they are read; start again")
        _write(draft, arrays, name)

    remark = build_once(folder, fill)
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    arrays = Arrays(
        open_array(folder / "features.npy"),
        open_array(folder / "labels.npy"),
        _facts(meta["facts"]),
        open_array(folder / "groups.npy") if "groups.npy" in sealed_files(folder) else None,
    )
    return Prepared(name, key, meta["digest"], arrays, arrays.facts.notes + ((remark,) if remark else ()))


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Turn what the system says about files that cannot be read into one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"dataset: {error.filename or 'its files'} cannot be read ({error.strerror or error}); mend or replace it"
        ) from error


def digest(content: Mapping[str, Any]) -> str:
    """Return sixteen hexadecimal digits that name some content."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_of(arrays: Mapping[str, np.ndarray | None], facts: Mapping[str, Any]) -> str:
    """Return thirty-two hexadecimal digits that name the content of arrays and facts."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, array in arrays.items():
        if array is not None:
            total.update(f"{name} {array.dtype.str} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()[:32]


def _stamps(files: Sequence[Path]) -> list[tuple[str, int, int, int]]:
    """Return what changes when a file gets another content; the change time does so even if the others are set back."""
    stats = [(str(path), path.stat()) for path in files]
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats]


def _is_path_of(value: Any, files: Sequence[Path], root: Path) -> bool:
    """Return whether an argument names the file, or a folder of all the files, that are in the key anyway."""
    if not isinstance(value, str) or not value or not files:
        return False
    places = {(root / value).resolve(), Path(value).expanduser().resolve()}
    return all(places & {file, *file.parents} for file in files)


def _code(source: Source) -> str:
    """Return a digest of the file that defines a data set, so that a changed one is prepared again."""
    module = sys.modules.get(type(source).__module__)
    path = getattr(module, "__file__", None)
    if path and Path(path).is_file():
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    # A notebook has no file; what cannot be told from another version is prepared by every process for itself.
    try:
        return hashlib.sha256(inspect.getsource(type(source)).encode()).hexdigest()
    except (OSError, TypeError):
        return f"process {os.getpid()} {id(type(source))}"


def _facts(content: Mapping[str, Any]) -> DatasetFacts:
    """Return the facts as they were before JSON made lists of the tuples."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return DatasetFacts(**values)


def _write(draft: Path, arrays: Arrays, name: str) -> None:
    arrays = checked(arrays, name)
    contents = {"features": np.ascontiguousarray(arrays.features), "labels": arrays.labels, "groups": arrays.groups}
    for kind, array in contents.items():
        if array is not None:
            save_array(draft / f"{kind}.npy", array)
    # Data without the newer ones has the digest that it had before there were such.
    newer = ("vocabulary", "agreed_words", "label_groups")
    facts = {key: value for key, value in asdict(arrays.facts).items() if value or key not in newer}
    said = ("no_groups", "notes")  # words for people may change while the data stays the same
    named = digest_of(contents, {key: value for key, value in facts.items() if key not in said})
    save_text(draft / "meta.json", json.dumps({"facts": facts, "digest": named}))
