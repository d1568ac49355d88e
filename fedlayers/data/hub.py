"""Any classification data set of the Hugging Face hub, or the same formats in a local folder or file."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedlayers.data.columns import choose_columns
from fedlayers.data.images import to_array
from fedlayers.data.source import Arrays, Facts
from fedlayers.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


class Hub:
    """A data set that the ``datasets`` library reads; it runs no code of the data set's authors.

    Args:
        path: ``owner/name`` on the hub, or a local folder or parquet file, absolute or relative to the folder of all
            data sets or to the working directory.
        subset: the data set's configuration; None if it has only one.
        revision: commit or tag on the hub; None for the newest when first used.
        train: name of the split with the training records.
        test: name of the split with the official test records; if None or absent, there is no official test set.
        feature: column with images or lists of numbers; None if there is only one such column.
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
        feature: str | None = None,
        label: str | None = None,
        group: str | None = None,
    ) -> None:
        self.path, self.subset, self.revision = path, subset, revision
        self.train, self.test = train, test
        self.feature, self.label, self.group = feature, label, group

    def files(self, root: Path) -> Sequence[Path]:
        """Return the local files; none if the data set is on the hub."""
        local = self._local(root)
        if local is None:
            return ()
        return [local] if local.is_file() else sorted(path for path in local.rglob("*") if path.is_file())

    def read(self, root: Path) -> Arrays:
        """Return all records, training records first: images (n, c, h, w) or rows (n, d)."""
        # The prepared arrays replace the library's own copy of a local data set, so that copy is thrown away.
        with tempfile.TemporaryDirectory() as scratch:
            splits = self._load(self._local(root), scratch)
            if self.train not in splits:
                raise UserError(
                    f"dataset.train must be a split of {self.path} ({', '.join(splits)}), got {self.train}; set it"
                )
            names = [self.train] + ([self.test] if self.test in splits else [])
            return self._arrays([splits[name] for name in names])

    def _local(self, root: Path) -> Path | None:
        """Return the local file or folder that ``path`` names; None if it names a data set of the hub."""
        path = Path(self.path).expanduser()
        found = next((candidate for candidate in (root / path, path) if candidate.exists()), None)
        if found is None and (path.is_absolute() or path.suffix == ".parquet" or len(path.parts) > 2):
            raise UserError(
                f"dataset.path must be owner/name of the hub, or an existing folder or parquet file, got {self.path}"
            )
        return found.resolve() if found else None

    def _load(self, local: Path | None, scratch: str) -> "DatasetDict":
        import datasets

        try:
            if local is None:
                return datasets.load_dataset(self.path, self.subset, revision=self.revision)
            if local.is_file():
                return datasets.load_dataset("parquet", data_files={self.train: str(local)}, cache_dir=scratch)
            return datasets.load_dataset(str(local), self.subset, cache_dir=scratch)
        except Exception as error:  # the library passes on what any of its many file readers raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise UserError(
                f"dataset.path must be a data set that can be read, got {self.path} ({reason}); "
                "without a connection give the path of a local folder or parquet file"
            ) from error

    def _arrays(self, parts: Sequence["Dataset"]) -> Arrays:
        feature, label = choose_columns(parts[0].features, self.feature, self.label, self.group)
        features = to_array([value for part in parts for value in part[feature]], feature)
        labels, classes = self._codes(parts, label, "dataset.label")
        num_test = len(parts[1]) if len(parts) > 1 else 0
        channels = features.shape[1] if features.dtype == np.uint8 else 0
        groups, group_names = self._codes(parts, self.group, "dataset.group") if self.group else (None, ())
        half = (127.5,) * channels  # pixels between -1 and 1
        facts = Facts(classes, num_test, group_names, self._no_groups(), mean=half, std=half)
        return Arrays(features, labels, facts, groups)

    def _no_groups(self) -> str:
        return "" if self.group else "dataset.group names no column"

    def _codes(self, parts: Sequence["Dataset"], column: str, key: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return a column as codes from 0 and the names of the codes: the data set's own, or the sorted values."""
        values: list[Any] = [value for part in parts for value in part[column]]
        if any(value is None for value in values):
            raise UserError(f"{key} must name a column without missing values, got {column}; leave these records out")
        names = getattr(parts[0].features[column], "names", None)
        if names is not None:
            return np.array(values, np.int64), tuple(names)
        kinds, codes = np.unique(np.array(values), return_inverse=True)
        return codes.astype(np.int64), tuple(str(kind) for kind in kinds)
