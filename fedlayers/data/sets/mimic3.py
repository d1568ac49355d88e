"""MIMIC-III: does a patient of an intensive care unit survive the stay? From notes, by diagnosis."""

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fedlayers.core.checks import check
from fedlayers.core.kinds.tokens import RESERVED
from fedlayers.data.by_hand import by_hand
from fedlayers.data.formats.words import tokens_of, words_of
from fedlayers.data.source import Arrays, DatasetFacts, damaged

GROUPS = ("mi", "gi", "infection", "brain")
COLUMNS = ("diagnosis", "text", "mortality")


class Mimic3:
    """Notes as tokens, and whether the patient died in hospital; four groups of diagnoses are the natural groups.

    The file, ``mimic3/mortality.csv``, plain or gzipped, is made by a user who is licensed for MIMIC-III, a row each
    stay: ``diagnosis`` (``mi``, ``gi``, ``infection`` or ``brain``: the group of the admission's diagnosis), ``text``
    (what was noted before the outcome was known) and ``mortality`` (0 or 1, ``HOSPITAL_EXPIRE_FLAG`` of
    ``ADMISSIONS``). The vocabulary is what the clients of a run agree on from their own training notes. No official
    test set.

    Args:
        words: the most codes that the vocabulary may have, padding and unknown words among them, 3 or more.
        length: words of a note that are kept, the first ones, 1 or more.

    References:
        Johnson et al. 2016, MIMIC-III, a freely accessible critical care database, Scientific Data 3,
        doi:10.1038/sdata.2016.35; Elhussein and Gürsoy 2025, PLayer-FL, arXiv:2502.08829 (the task).
    """

    def __init__(self, words: int = 10000, length: int = 512) -> None:
        check(words > len(RESERVED), "dataset.words", f"{len(RESERVED) + 1} or more", words)
        check(length >= 1, "dataset.length", "1 or more", length)
        self.words, self.length = words, length

    def files(self, root: Path) -> Sequence[Path]:
        """Return the file of notes."""
        page = "https://physionet.org/content/mimiciii/1.4/"
        how = (
            "with its licence, join ADMISSIONS and NOTEEVENTS to a table with columns diagnosis, text and mortality; "
            "sha256sum of the tables must say what its SHA256SUMS.txt says"
        )
        return by_hand("MIMIC", root, ["mimic3/mortality.csv.gz"], page, how)

    def read(self, root: Path) -> Arrays:
        """Return all notes' tokens, shape (n, length)."""
        (path,) = self.files(root)
        rows = _rows(path)
        tokens, words = tokens_of([words_of(row["text"]) for row in rows], self.length)
        labels, groups = (np.array([row[name] for row in rows]) for name in ("mortality", "diagnosis"))
        codes = np.array([GROUPS.index(group) for group in groups])
        facts = DatasetFacts(("survived", "died"), group_names=GROUPS, vocabulary=words, agreed_words=self.words)
        return Arrays(tokens, labels.astype(np.int64), facts, codes)


def _rows(path: Path) -> Sequence[Mapping[str, str]]:
    """Return the rows of the table."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # notes are longer than the reader expects
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
        rows = list(reader)
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise damaged(path, str(error)) from error
    if not set(COLUMNS) <= set(reader.fieldnames or ()) or not rows:
        raise damaged(path, f"it has no rows with columns {', '.join(COLUMNS)}")
    for number, row in enumerate(rows, 1):
        if row["diagnosis"] not in GROUPS or row["mortality"] not in ("0", "1") or row["text"] is None:
            raise damaged(
                path, f"row {number} has another diagnosis than {', '.join(GROUPS)}, or mortality than 0 or 1"
            )
    return rows
