"""Columns of pictures or lists of numbers as one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlayers.errors import UserError

GREY_MODES = ("1", "L", "LA", "I", "I;16", "F")


def to_array(values: Sequence[Any], column: str) -> np.ndarray:
    """Return a column's values as uint8 images (n, c, h, w) or float32 rows (n, d).

    Pictures are grey (c = 1) if all are, else red, green and blue (c = 3). Missing numbers become NaN.

    Args:
        values: PIL pictures, or numbers nested alike for every record.
        column: the name that error messages give.

    Raises:
        UserError: if the records differ in size, or are neither pictures nor numbers.
    """
    if len(values) and hasattr(values[0], "convert"):
        return _pictures(values, column)
    try:
        rows = np.array(values, dtype=np.float32)  # None becomes NaN
    except (TypeError, ValueError) as error:
        raise UserError(
            "dataset.feature must name a column of pictures or of lists of numbers of one length, "
            f"got {column} ({error}); bring it into one shape first (text: as lists of numbers)"
        ) from error
    return rows.reshape(len(rows), -1)


def _pictures(values: Sequence[Any], column: str) -> np.ndarray:
    sizes = {picture.size for picture in values}
    if len(sizes) > 1:
        some = ", ".join(f"{width}×{height}" for width, height in sorted(sizes)[:4])
        raise UserError(
            f"dataset.feature must name a column of pictures of one size, got {column} with {some}; resize them first"
        )
    mode = "L" if all(picture.mode in GREY_MODES for picture in values) else "RGB"
    stacked = np.stack([np.asarray(picture.convert(mode), dtype=np.uint8) for picture in values])
    return stacked[:, None] if mode == "L" else np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))
