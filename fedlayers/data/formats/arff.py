"""Weka's ARFF, as far as tables of numbers and named values go: attributes, then rows, plain or gzipped.

scipy's reader takes no gzip, no sparse rows, and no names with spaces, which multi-label collections have.
"""

import gzip
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedlayers.data.source import damaged

_ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(.+)""", re.IGNORECASE)
_NUMBERS = ("numeric", "real", "integer")


@dataclass(frozen=True)
class Attribute:
    """One column.

    Attributes:
        name: as the file calls it.
        values: the names that it may take, in the order of their codes; empty for numbers.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class ArffTable:
    """A file's columns and its rows, shape (n, columns), float64: numbers, or codes of named values; NaN for ``?``."""

    attributes: tuple[Attribute, ...]
    rows: np.ndarray


def read_arff(path: Path) -> ArffTable:
    """Return the table of an ARFF file; ``.gz`` is unpacked in memory.

    Raises:
        UserError: it is cut short or something else.

    References:
        Witten, Frank & Hall 2011, Data Mining, ch. 2.4 (the format).
    """
    lines = [line.strip() for line in _text(path).splitlines()]
    start = next((number for number, line in enumerate(lines) if line.lower() == "@data"), None)
    if start is None:
        raise damaged(path, "no line @data")
    attributes = tuple(_attribute(line, path) for line in lines[:start] if line.lower().startswith("@attribute"))
    codes = [{name: code for code, name in enumerate(attribute.values)} for attribute in attributes]
    numbered = [
        (number, line) for number, line in enumerate(lines[start + 1 :], start + 2) if line and not line.startswith("%")
    ]
    if not numbered or not attributes:
        raise damaged(path, "it has no rows" if attributes else "it has no attributes")
    return ArffTable(attributes, np.array([_row(line, codes, path, number) for number, line in numbered]))


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8", "replace")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, str(error)) from error


def _attribute(line: str, path: Path) -> Attribute:
    found = _ATTRIBUTE.fullmatch(line)
    kind = found[2].strip() if found else ""
    if found and kind.lower() in _NUMBERS:
        return Attribute(_bare(found[1]), ())
    if found and kind.startswith("{") and kind.endswith("}"):
        return Attribute(_bare(found[1]), tuple(_bare(value) for value in kind[1:-1].split(",")))
    raise damaged(path, f"an attribute is neither numbers nor a list of values: {line[:60]!r}")


def _row(line: str, codes: Sequence[dict[str, int]], path: Path, number: int) -> list[float]:
    """Return one example's numbers and codes; a row in braces names what is not 0."""
    if line.startswith("{"):
        row = [0.0] * len(codes)
        pairs = [pair.split(maxsplit=1) for pair in line.strip("{} ").split(",") if pair.strip()]
        if any(len(pair) != 2 or not pair[0].isdecimal() or int(pair[0]) >= len(codes) for pair in pairs):
            raise damaged(path, f"line {number} is no list of columns and values")
        for place, value in pairs:
            row[int(place)] = _value(value, codes[int(place)], path, number)
        return row
    values = line.split(",")
    if len(values) != len(codes):
        raise damaged(path, f"line {number} does not have {len(codes)} values")
    return [_value(value, named, path, number) for value, named in zip(values, codes, strict=True)]


def _value(text: str, named: dict[str, int], path: Path, number: int) -> float:
    value = _bare(text)
    if value == "?":
        return math.nan
    if named:
        if value not in named:
            raise damaged(path, f"line {number} has {value!r}, which is none of {', '.join(named)}")
        return named[value]
    try:
        return float(value)
    except ValueError as error:
        raise damaged(path, f"line {number}: {error}") from error


def _bare(text: str) -> str:
    return text.strip().strip("'\"")
