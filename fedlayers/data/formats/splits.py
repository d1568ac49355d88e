"""Reading data sets of the Hugging Face hub and local files in its formats, split by split."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.data.formats.columns import without_index
from fedlayers.data.formats.separators import refuse_other_separator

if TYPE_CHECKING:
    from datasets import Dataset

# Suffix -> the library's reader and its arguments.
READERS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".parquet": ("parquet", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
    ".arrow": ("arrow", {}),
}
# What ``Dataset.save_to_disk`` leaves in a folder: of one split, of several.
SAVED = ("state.json", "dataset_dict.json")


def suffix_of(path: Path) -> str:
    """Return a file's suffix, the one before if it is packed by gzip."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()


@contextmanager
def opened_splits(
    path: str, local: Path | None, subset: str | None, revision: str | None, train: str
) -> Iterator[Mapping[str, "Dataset"]]:
    """Open a data set for a block of code: split -> examples.

    What the library copies of a local data set is thrown away afterwards, because prepared arrays replace it.

    Args:
        path: what the user gave.
        local: the local file or folder that it names; None if it names a data set of the hub.
        subset: the data set's configuration; None if it has only one.
        revision: commit or tag on the hub; None for the newest.
        train: what the only split of a local file is called.

    Raises:
        UserError: if it cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with _silent():
                splits = _load(path, local, subset, revision, train, scratch)
        except UserError:
            raise
        except Exception as error:  # the library passes on what any of its many file readers raises
            refuse_other_separator(_files(local))
            raise _unreadable(path, local, error) from error
        if any(len(without_index(part.features)) < 2 for part in splits.values()):
            refuse_other_separator(_files(local))
        yield splits


def _load(
    path: str, local: Path | None, subset: str | None, revision: str | None, train: str, scratch: str
) -> Mapping[str, "Dataset"]:
    import datasets

    if local is None:
        return dict(datasets.load_dataset(path, subset, revision=revision))
    is_saved = any((local / name).is_file() for name in SAVED)
    has_subsets = local.is_dir() and not is_saved
    check(revision is None, "dataset.revision", "null with local files", revision)
    check(subset is None or has_subsets, "dataset.subset", "null with one local file or data set", subset)
    if local.is_file():
        suffix = suffix_of(local)
        if suffix not in READERS:
            raise UserError(f"dataset.path must be a folder or a file of {', '.join(READERS)}, got {path}; convert it")
        reader, arguments = READERS[suffix]
        return dict(datasets.load_dataset(reader, data_files={train: str(local)}, cache_dir=scratch, **arguments))
    if is_saved:
        saved = datasets.load_from_disk(str(local))
        return {train: saved} if isinstance(saved, datasets.Dataset) else dict(saved)
    return dict(datasets.load_dataset(str(local), subset, cache_dir=scratch))


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the library's own lines about errors, which come as one sentence, from the terminal."""
    logger = logging.getLogger("datasets")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _unreadable(path: str, local: Path | None, error: Exception) -> UserError:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    empty = _empty_file(local) or (path if "corresponds to no data" in str(cause) else None)
    if empty:
        return UserError(f"dataset.path must be a data set with examples in every file, got none in {empty}; delete it")
    reason = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
    advice = (
        "without a connection give the path of a local folder or file"
        if local is None
        else f"check its files, which must be pictures in folders or {', '.join(READERS)}"
    )
    return UserError(f"dataset.path must be a data set that can be read, got {path} ({reason}); {advice}")


def _empty_file(local: Path | None) -> Path | None:
    """Return a local file without examples, about which the library speaks in riddles; None if there is none."""
    return next((file for file in _files(local) if suffix_of(file) in READERS and _has_no_examples(file)), None)


def _files(local: Path | None) -> list[Path]:
    if local is None:
        return []
    return [local] if local.is_file() else sorted(local.rglob("*"))


def _has_no_examples(file: Path) -> bool:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import read_metadata

    try:
        return file.stat().st_size == 0 or (file.suffix == ".parquet" and read_metadata(file).num_rows == 0)
    except (OSError, ArrowInvalid):
        return False
