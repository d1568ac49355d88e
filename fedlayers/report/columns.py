"""Columns of numbers in a web page: one number if they are all equal, else bytes as text."""

import base64

import numpy as np

_MOST_ERROR = 1e-6

# A number, base64 text, or None for a column without numbers.
Column = float | str | None


def packed(values: np.ndarray) -> Column:
    """Return the values in a form that JSON holds and a browser unpacks fast.

    Four bytes a number are about seven digits; numbers that four bytes do not hold so well, such as a p value of 1e-60,
    take eight, and all of their column with them.

    Args:
        values: any shape, NaN where there is no value.

    Returns:
        None if there is no value at all; else ``"f4:"`` or ``"f8:"`` and the little-endian bytes in base64.
    """
    wide = np.ascontiguousarray(values, "<f8")
    known = wide[np.isfinite(wide)]
    if not known.size:
        return None
    with np.errstate(over="ignore", under="ignore"):
        narrow = wide.astype("<f4")
        close = np.abs(narrow[np.isfinite(wide)].astype(float) - known) <= _MOST_ERROR * np.abs(known)
    chosen, kind = (narrow, "f4") if close.all() else (wide, "f8")
    return f"{kind}:{base64.b64encode(chosen.tobytes()).decode('ascii')}"


def constant(values: np.ndarray) -> float | None:
    """Return the number that all of the values are, None if they differ or there is none."""
    known = values[np.isfinite(values)]
    alike = known.size == values.size > 0 and bool((known == known[0]).all())
    return float(known[0]) if alike else None
