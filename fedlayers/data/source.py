"""What a data set has to provide: its files, its arrays, and the facts needed to interpret them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from fedlayers.config.building import build_plugin
from fedlayers.core.errors import UserError


@dataclass(frozen=True)
class DatasetFacts:
    """What is known about a data set besides its arrays.

    Attributes:
        classes: class names, in the order of the labels.
        num_test: the last ``num_test`` examples are the official test set; 0 if there is none.
        group_names: names of the natural groups (hospitals, writers), in the order of their codes; empty if unknown.
        no_groups: a sentence that says why there are no groups, if there is more to say than that.
        mean, std: of the raw values of an image's channels, used to normalise; empty for rows, and for images that
            are to be normalised with mean and standard deviation of the training images.
        columns: names of the columns of rows; empty for images.
        categorical: those of ``columns`` whose missing values take the most frequent value, not the median.
        notes: sentences about what was done to the data, told at the start of a run.
        vocabulary: of token data, the word of each code, first those of ``fedlayers.core.kinds.tokens.RESERVED``.
        agreed_words: how many codes, the first two included, the federation's own vocabulary may have, which is made of
            the words of training examples alone; None where ``vocabulary`` is given from outside (characters, word
            pieces) and its codes stay.
        label_groups: of label sets, the group that each label belongs to; empty if there is one group.
    """

    classes: tuple[str, ...]
    num_test: int = 0
    group_names: tuple[str, ...] = ()
    no_groups: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    columns: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    agreed_words: int | None = None
    label_groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Arrays:
    """All examples of a data set, training examples first.

    Attributes:
        features: images (n, c, h, w), uint8 or floats; or rows (n, d) of floats with NaN where a value is missing.
            float32 unless that would lose digits, else float64; other numbers are brought to these. Or, with a
            ``vocabulary`` in the facts, tokens (n, length), integers, 0 where an example has ended.
        labels: integers, shape (n,), in [0, number of classes); or label sets of 0 and 1, shape (n, number of classes).
        facts: see :class:`DatasetFacts`.
        groups: codes of the natural groups, integers, shape (n,); None if there are none.
    """

    features: np.ndarray
    labels: np.ndarray
    facts: DatasetFacts
    groups: np.ndarray | None = None


@runtime_checkable
class Source(Protocol):
    """A data set, as the ``_target_`` of a file in ``conf/dataset`` builds it."""

    def files(self, root: Path) -> Sequence[Path]:
        """Return the files it is read from, below ``root`` or elsewhere; those that are missing are downloaded."""
        ...

    def read(self, root: Path) -> Arrays:
        """Return the examples that the files hold."""
        ...


def source_of(spec: Mapping[str, Any]) -> Source:
    """Return the data set that ``config.dataset`` describes; nothing is read yet.

    Raises:
        UserError: it cannot be built, or is none.
    """
    source: Source = build_plugin("dataset", spec, Source, "a data set with files(root) and read(root)")
    return source


def damaged(path: Path, why: str) -> UserError:
    """Return the error for a file that is not what it should be."""
    return UserError(
        f"{path} is damaged or not what its name says ({why}); delete it to download it again, or replace it"
    )
