"""What charts show, in a form that JSON holds and a browser unpacks fast."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlayers.charts.charted import Charted
from fedlayers.core.json_values import plain

_MOST_ERROR = 1e-6


def packed(charted: Charted, exact: bool = False) -> dict[str, Any]:
    """Return what a chart shows as a page has it: ``columns``, ``facts`` and ``length``, see ``web/js/frozen.js``.

    Args:
        charted: what it shows.
        exact: whether all digits of numbers are kept.
    """
    columns = {name: _column(column, exact) for name, column in charted.columns.items()}
    return {"columns": columns, "facts": plain(charted.facts), "length": len(charted)}


def size_of(charted: Charted) -> int:
    """Return how many values a chart shows."""
    return len(charted) * len(charted.columns)


def _column(column: Any, exact: bool) -> Any:
    values = np.asarray(column, dtype=None if isinstance(column, np.ndarray) else object)
    if values.dtype.kind == "b":
        return {"bits": _text(values.astype("u1"))}
    if values.dtype.kind in "iuf":
        return numbers(values.astype(float), exact)
    return _texts(values.tolist())


def numbers(values: np.ndarray, exact: bool = False) -> dict[str, Any]:
    """Return numbers as text: one for all if they are equal, four bytes a number if those are close enough, else eight.

    Four bytes a number are about seven digits; numbers that four bytes do not hold so well, such as a p value of 1e-60,
    take eight, and all of their column with them.

    Args:
        values: shape (n,), NaN where there is no value.
        exact: whether close enough is only what is equal.

    Returns:
        ``{"all": number or None}``, ``{"f4": text}`` or ``{"f8": text}``: little-endian bytes in base64.
    """
    wide = np.ascontiguousarray(values, "<f8")
    known = wide[np.isfinite(wide)]
    if not known.size and not np.isinf(wide).any():
        return {"all": None}
    if known.size == wide.size and (known == known[0]).all():
        return {"all": float(known[0])}
    with np.errstate(over="ignore", under="ignore"):
        narrow = wide.astype("<f4")
        most = 0.0 if exact else _MOST_ERROR
        close = np.abs(narrow[np.isfinite(wide)].astype(float) - known) <= most * np.abs(known)
    return {"f4": _text(narrow)} if close.all() else {"f8": _text(wide)}


def _texts(values: Sequence[str | None]) -> dict[str, Any]:
    words = dict.fromkeys(values)
    if len(words) == 1 and None not in words:
        return {"all": next(iter(words))}
    place = {word: at for at, word in enumerate(words)}
    codes = np.array([place[value] for value in values], "<u4")
    return {"words": list(words), "codes": _text(codes)}


def _text(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")
