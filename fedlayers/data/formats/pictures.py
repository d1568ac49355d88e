"""Encoded pictures as arrays that hold what was encoded: 8-bit channels, or integers and floats of more bits."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from fedlayers.core.errors import UserError
from fedlayers.data.formats.place import ColumnPlace

GREY = ("1", "L", "LA", "La")
PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
WIDE_INTEGERS = ("I", "I;16", "I;16L", "I;16B", "I;16N")
SAMPLE_FORMAT, SIGNED = 339, 2  # TIFF's tag and its value


@dataclass(frozen=True)
class Pixels:
    """One picture.

    Attributes:
        values: uint8, shape (h, w, c), c = 1 grey, 2 with alpha, 3 red, green and blue, 4 with alpha; or integers of
            more than 8 bits or floats, shape (h, w, 1).
        mode: Pillow's name of what the picture was.
    """

    values: np.ndarray
    mode: str

    @property
    def kind(self) -> str:
        """What the values are: ``bytes``, ``integers`` or ``floats``."""
        return {"u": "bytes", "i": "integers", "f": "floats"}[self.values.dtype.kind]


def read_picture(value: Any, number: int, place: ColumnPlace) -> Pixels:
    """Return a picture turned upright as its EXIF orientation says.

    Args:
        value: encoded bytes, or a mapping with ``bytes`` or the ``path`` of a local file.
        number: which example it belongs to.
        place: how error messages name the example.

    Raises:
        UserError: if there is no picture, it cannot be decoded without loss, or has several frames.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    who = place.example(number)
    with _opened(value, who) as file:
        try:
            with Image.open(file) as picture:
                _refuse_what_is_lost(picture, who)
                signed = _is_signed(picture)
                picture.load()
                return pixels_of(ImageOps.exif_transpose(picture), who, signed)
        except UserError:
            raise
        except Exception as error:  # Pillow's readers of many formats raise whatever they like
            # Pillow names the object in memory that it could not identify.
            is_unknown = isinstance(error, UnidentifiedImageError)
            reason = "of no known format" if is_unknown else " ".join(str(error).split())[:100]
            raise UserError(
                f"dataset.feature must name a column of pictures, got one that cannot be read: {who} "
                f"({type(error).__name__}: {reason}); replace it or leave the example out"
            ) from error


def pixels_of(picture: Any, who: str, signed: bool | None = None) -> Pixels:
    """Return a decoded picture's values.

    Args:
        picture: a ``PIL.Image.Image`` of any mode.
        who: what error messages call it.
        signed: what a TIFF file says of its integers, which Pillow takes as signed from 16 bits on; None if nothing.

    Raises:
        UserError: if it has values that are not finite.
    """
    mode = picture.mode
    if mode in WIDE_INTEGERS:
        values, is_unsigned = np.asarray(picture)[..., None], mode == "I" and signed is False
        return Pixels(values.view(np.uint32).astype(np.int64) if is_unsigned else values.astype(np.int32), mode)
    if mode == "F":
        return Pixels(_finite(np.asarray(picture)[..., None], who), mode)
    if mode == "L" and signed:
        return Pixels(np.asarray(picture)[..., None].view(np.int8).astype(np.int32), mode)
    return Pixels(_bytes(picture), mode)


def _finite(values: np.ndarray, who: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UserError(
            f"dataset.feature must name a column of pictures with finite values, got NaN or infinite ones in {who}; "
            "replace them"
        )
    return values


def _bytes(picture: Any) -> np.ndarray:
    """Return 8-bit channels, shape (h, w, c); alpha is left out where everything is opaque."""
    grey, transparent = picture.mode in GREY, picture.has_transparency_data
    picture = picture.convert(PREMULTIPLIED.get(picture.mode, picture.mode))
    if picture.mode in ("P", "PA"):
        values = np.asarray(picture.convert("RGBA"))
        grey = bool((values[..., :1] == values[..., :3]).all())
        values = values[..., [0, 3]] if grey else values
    else:
        wanted = ("LA" if grey else "RGBA") if transparent else ("L" if grey else "RGB")
        values = np.asarray(picture.convert(wanted), dtype=np.uint8)
    values = values.reshape(*values.shape[:2], -1)
    has_alpha = values.shape[2] in (2, 4)
    return values[..., :-1] if has_alpha and (values[..., -1] == 255).all() else values


def _refuse_what_is_lost(picture: Any, who: str) -> None:
    """Refuse pictures of which Pillow gives only a part; called before the pixels are read."""
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # whose other frames are previews of the first
        raise UserError(
            f"dataset.feature must name a column of single pictures, got {frames} frames in {who}; "
            "save the frame that counts as a picture of its own"
        )
    if picture.format == "EPS":
        raise UserError(f"dataset.feature must name a column of pictures, got a program (EPS) in {who}; save it as PNG")
    if picture.mode not in WIDE_INTEGERS and any(";16" in str(tile) for tile in picture.tile):
        raise UserError(
            f"dataset.feature must name a column of pictures with one channel or 8 bits a channel, got 16 bits in each "
            f"of several channels in {who}, of which Pillow reads 8; save them with 8 bits or as lists of numbers"
        )


def _is_signed(picture: Any) -> bool | None:
    """Return whether the integers of a TIFF file are signed; None for other formats."""
    tags = getattr(picture, "tag_v2", None)
    return None if tags is None else SIGNED in np.atleast_1d(tags.get(SAMPLE_FORMAT, 1))


@contextmanager
def _opened(value: Any, who: str) -> Iterator[IO[bytes]]:
    """Open an encoded picture: bytes of the data set, or a local file that it names."""
    content = value.get("bytes") if isinstance(value, dict) else value
    path = value.get("path") if isinstance(value, dict) else None
    if content is not None:
        yield io.BytesIO(content)
        return
    if path is None:
        raise UserError(f"dataset.feature must name a column of pictures, got none in {who}; leave the example out")
    try:
        file = _open_file(path)
    except Exception as error:  # archives have readers of their own
        raise UserError(
            f"dataset.feature must name a column of pictures, got a file that cannot be opened in {who}: {path} "
            f"({type(error).__name__}); put it there or leave the example out"
        ) from error
    with file:
        yield file


def _open_file(path: str) -> IO[bytes]:
    if path.startswith("zip://"):  # where the library finds pictures in archives
        import fsspec

        packed: IO[bytes] = fsspec.open(path, "rb").open()
        return packed
    return Path(path).open("rb")
