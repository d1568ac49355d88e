"""Any classification data set of the Hugging Face hub, or the same formats in a local folder or file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.formats.columns import Columns, choose_columns, said_of_index
from fedlayers.data.formats.images import stack
from fedlayers.data.formats.labels import alike, codes_of, is_unlabelled
from fedlayers.data.formats.numbers import rows_of, table_of
from fedlayers.data.formats.pictures import read_picture
from fedlayers.data.formats.place import ColumnPlace
from fedlayers.data.formats.splits import READERS, opened_splits, suffix_of
from fedlayers.data.source import Arrays, DatasetFacts

if TYPE_CHECKING:
    from datasets import Dataset

EIGHT_BITS = 127.5  # mean and standard deviation that bring pixels between -1 and 1


class Hub:
    """A data set that the ``datasets`` library reads; it runs no code of the data set's authors.

    Args:
        path: ``owner/name`` on the hub, or a local folder or file (parquet, csv, tsv, json, jsonl, arrow), absolute or
            relative to the folder of all data sets or to the working directory.
        subset: the data set's configuration; None if it has only one.
        revision: commit or tag on the hub; None for the newest when first used.
        train: name of the split with the training examples.
        test: name of the split with the official test examples; None for none. If ``test`` is absent or has no labels,
            there is no official test set.
        feature: column with pictures or lists of numbers, or several columns of single numbers; None if only one
            column can be meant, or all that hold numbers.
        label: column with the class; None if there is only one such column.
        group: column with the natural groups; None for none.
    """

    def __init__(
        self,
        path: str,
        subset: str | None = None,
        revision: str | None = None,
        train: str = "train",
        test: str | None = "test",
        feature: str | Sequence[str] | None = None,
        label: str | None = None,
        group: str | None = None,
    ) -> None:
        self.path, self.subset, self.revision = path, subset, revision
        self.train, self.test = train, test
        self.feature, self.label, self.group = feature, label, group
        self.agreed_words: int | None = None

    def files(self, root: Path) -> Sequence[Path]:
        """Return the local files; none if the data set is on the hub."""
        local = self._local(root)
        if local is None:
            return ()
        return [local] if local.is_file() else sorted(path for path in local.rglob("*") if path.is_file())

    def read(self, root: Path) -> Arrays:
        """Return all examples, training examples first: images (n, c, h, w) or rows (n, d)."""
        with opened_splits(self.path, self._local(root), self.subset, self.revision, self.train) as splits:
            listed = ", ".join(splits)
            if self.train not in splits:
                raise UserError(f"dataset.train must be a split of {self.path} ({listed}), got {self.train}; set it")
            if self.test == self.train or self.test not in (None, "test", *splits):
                raise UserError(
                    f"dataset.test must be null or another split of {self.path} ({listed}), got {self.test}; set it"
                )
            columns = choose_columns(splits[self.train].features, self.feature, self.label, self.group)
            return self._arrays(splits, columns)

    def _local(self, root: Path) -> Path | None:
        """Return the local file or folder that ``path`` names; None if it names a data set of the hub."""
        path = Path(self.path).expanduser()
        found = next((candidate for candidate in (root / path, path) if self.path and _exists(candidate)), None)
        if found is None and (path.is_absolute() or suffix_of(path) in READERS or len(path.parts) > 2):
            raise UserError(
                f"dataset.path must be owner/name of the hub, or an existing folder or file ({', '.join(READERS)}), "
                f"got {self.path}"
            )
        return found.resolve() if found else None

    def _arrays(self, splits: Mapping[str, "Dataset"], columns: Columns) -> Arrays:
        names, notes = self._used(splits, columns.label)
        parts = [splits[name] for name in names]
        wanted = [*columns.features, columns.label, *([self.group] if self.group else [])]
        for name, part in zip(names, parts, strict=True):
            if lacking := [column for column in wanted if column not in part.features]:
                raise UserError(
                    f"dataset.test must be a split with the columns of {self.train}, got {name} without {lacking[0]}; "
                    "set it to null"
                )
        tables = [part.select_columns(list(dict.fromkeys(wanted))).with_format("arrow")[:] for part in parts]

        def place(column: str) -> ColumnPlace:
            return ColumnPlace(column, [(name, len(part)) for name, part in zip(names, parts, strict=True)])

        def codes(column: str, key: str) -> Any:
            kinds = [part.features[column] for part in parts]
            return codes_of([table[column] for table in tables], kinds, key, place(column))

        labels = codes(columns.label, "dataset.label")
        groups = codes(self.group, "dataset.group") if self.group else None
        features, said, vocabulary = self._features(tables, columns, place)
        num_test = sum(len(part) for part in parts[1:])
        said += labels.said(columns.label, num_test) + alike(columns.label, labels.names)
        said += alike(self.group, groups.names) if self.group and groups else ()
        channels = features.shape[1] if features.dtype == np.uint8 else 0
        has_names = len(columns.features) > 1
        facts = DatasetFacts(
            labels.names,
            num_test,
            groups.names if groups else (),
            "" if self.group else "dataset.group names no column",
            mean=(EIGHT_BITS,) * channels,
            std=(EIGHT_BITS,) * channels,
            columns=columns.features if has_names else (),
            vocabulary=vocabulary,
            agreed_words=self.agreed_words,
            notes=(*notes, *columns.notes, *said_of_index(parts[0].features), *said),
        )
        return Arrays(features, labels.codes, facts, groups.codes if groups else None)

    def _features(
        self, tables: Sequence[Any], columns: Columns, place: Any
    ) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
        """Return all examples' features, sentences about what was done to them, and the vocabulary of tokens."""
        return *_numbers(tables, columns, place), ()

    def _used(self, splits: Mapping[str, "Dataset"], label: str) -> tuple[list[str], list[str]]:
        """Return the splits that are used, and sentences about those that are not."""
        names, notes = [self.train], []
        if self.test is not None and self.test in splits:
            if _is_labelled(splits[self.test], splits[self.train], label):
                names.append(self.test)
            else:
                notes.append(
                    f"split {self.test} has no labels and is not used; the server tests on some of the training "
                    "examples"
                )
        unused = [name for name in splits if name not in (self.train, self.test)]
        for name in unused:
            note = f"split {name} ({len(splits[name])} examples) is not used"
            notes.append(note if len(names) > 1 else f"{note}; dataset.test={name} makes it the server's test set")
        return names, notes


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long, or a folder on the way may not be entered
        return False


def _is_labelled(test: "Dataset", train: "Dataset", label: str) -> bool:
    if label not in test.features:
        return False
    values = [part.select_columns([label]).with_format("arrow")[:][label] for part in (test, train)]
    return not is_unlabelled(values[0], values[1])


def joined_columns(tables: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """Return columns of several Arrow tables, one table's rows after the other's, by name."""
    import pyarrow as pa

    return {name: pa.chunked_array([c for table in tables for c in table[name].chunks]) for name in names}


def _numbers(tables: Sequence[Any], columns: Columns, place: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return all examples' pictures or rows and sentences about what was done to them."""
    joined = joined_columns(tables, columns.features)
    first = columns.features[0]
    if columns.pictures:
        values = enumerate(value.as_py() for value in joined[first])
        return stack((read_picture(value, number, place(first)) for number, value in values), place(first))
    if len(columns.features) == 1:
        rows = rows_of(joined[first], place(first))
        return rows.values, rows.said(lambda j: f"number {j} of column {first}")
    rows = table_of(list(joined.values()), [place(name) for name in columns.features])
    return rows.values, rows.said(lambda j: f"column {columns.features[j]}")
