"""Pictures of one column as one array: brought to common channels, of one size, with what was done to them."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.formats.exact import floats
from fedlayers.data.formats.pictures import Pixels
from fedlayers.data.formats.place import ColumnPlace

OTHER_COLOURS = ("CMYK", "YCbCr", "LAB", "HSV")


def stack(pictures: Iterable[Pixels], place: ColumnPlace) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return images (n, c, h, w) and sentences about what was done to them.

    8-bit pictures are uint8: c = 1 if all are grey, else 3; one channel more, the alpha, if some are not opaque
    everywhere. Integers of more bits and floats keep their values as float32 (float64 where that would lose some),
    c = 1.

    Args:
        pictures: one an example.
        place: how error messages name the examples.

    Raises:
        UserError: if the pictures differ in size or in the kind of their values.
    """
    taken: list[Pixels] = []
    for number, picture in enumerate(pictures):
        _compare(picture, number, taken, place)
        taken.append(picture)
    if not taken:
        return np.empty((0, 1, 0, 0), np.uint8), ()
    kind = taken[0].kind
    channels = {picture.values.shape[2] for picture in taken} if kind == "bytes" else {1}
    colour, alpha = bool(channels & {3, 4}), bool(channels & {2, 4})
    values = np.stack([_common(picture.values, colour, alpha) for picture in taken])
    values = values if kind == "bytes" else floats(values).values
    modes = Counter(picture.mode for picture in taken)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2)), tuple(_said(place.column, modes, kind, colour, alpha))


def _compare(picture: Pixels, number: int, taken: Sequence[Pixels], place: ColumnPlace) -> None:
    """Refuse a picture that does not go with the first one."""
    if not taken:
        return
    first, (height, width) = taken[0], picture.values.shape[:2]
    if picture.values.shape[:2] != first.values.shape[:2]:
        others = f"{first.values.shape[1]}×{first.values.shape[0]}"
        raise UserError(
            f"dataset.feature must name a column of pictures of one size, got {width}×{height} in "
            f"{place.example(number)} and {others} before; resize them first"
        )
    values = {"bytes": "8 bits a channel", "integers": "integers of more than 8 bits", "floats": "floats"}
    if picture.kind != first.kind:
        raise UserError(
            f"dataset.feature must name a column of pictures with one kind of values, got {values[picture.kind]} in "
            f"{place.example(number)} and {values[first.kind]} before; bring them to one kind first"
        )


def _common(values: np.ndarray, colour: bool, alpha: bool) -> np.ndarray:
    """Return a picture with the channels that all pictures get, shape (h, w, c)."""
    has_alpha = values.shape[2] in (2, 4)
    shown = values[..., :-1] if has_alpha else values
    parts = [np.repeat(shown, 3, axis=2) if colour and shown.shape[2] == 1 else shown]
    if alpha:
        parts.append(values[..., -1:] if has_alpha else np.full_like(values[..., :1], 255))
    return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]


def _said(column: str, modes: Counter[str], kind: str, colour: bool, alpha: bool) -> list[str]:
    said = []
    wide = {"integers": "integers of more than 8 bits", "floats": "floats"}
    taken = wide.get(kind, "red, green and blue" if colour else "grey")
    if len(modes) > 1 or any(mode in OTHER_COLOURS for mode in modes):
        listed = ", ".join(f"{count} of mode {mode}" for mode, count in sorted(modes.items()))
        said.append(f"pictures of column {column} ({listed}) are all taken as {taken}")
    if kind != "bytes":
        said.append(
            f"pictures of column {column} are {wide[kind]}: their values are kept, normalised with mean and "
            "standard deviation of the training pictures"
        )
    if alpha:
        said.append(f"pictures of column {column} are not opaque everywhere: their alpha is the last channel")
    return said
