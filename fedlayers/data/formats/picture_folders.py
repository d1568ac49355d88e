"""Pictures in folders, or in the archive that the folders come in, which is read without being unpacked."""

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fedlayers.data.source import damaged

# Encrypted members and unknown methods are RuntimeError and its NotImplementedError.
_UNREADABLE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, RuntimeError)

# A file's path inside the folder or archive -> what is wanted of it, None to pass over it.
Wanted = Callable[[PurePosixPath], Any]


def contents(place: Path, wanted: Wanted) -> Iterator[tuple[PurePosixPath, Any, bytes]]:
    """Yield path, what ``wanted`` gave and content of each file that is wanted, sorted by path.

    Args:
        place: a folder, or a ``.zip``, ``.tar.gz`` or ``.tar`` file with one.
        wanted: says of a path, relative to it, what is wanted.

    Raises:
        UserError: the archive is damaged.
    """
    found = _in_folder(place, wanted) if place.is_dir() else _in_archive(place, wanted)
    yield from sorted(found, key=lambda entry: entry[0])


def _in_folder(place: Path, wanted: Wanted) -> Iterator[tuple[PurePosixPath, Any, bytes]]:
    for path in place.rglob("*"):
        inside = PurePosixPath(path.relative_to(place).as_posix())
        if (kind := wanted(inside)) is not None and path.is_file():
            yield inside, kind, path.read_bytes()


def _in_archive(place: Path, wanted: Wanted) -> Iterator[tuple[PurePosixPath, Any, bytes]]:
    try:
        if place.suffix == ".zip":
            with zipfile.ZipFile(place) as zipped:
                for name in zipped.namelist():
                    if (kind := wanted(PurePosixPath(name))) is not None:
                        yield PurePosixPath(name), kind, zipped.read(name)
            return
        with tarfile.open(place) as packed:
            for member in packed:
                inside = PurePosixPath(member.name.removeprefix("./"))
                if member.isfile() and (kind := wanted(inside)) is not None:
                    stream = packed.extractfile(member)
                    assert stream is not None  # it is a file
                    yield inside, kind, stream.read()
    except (*_UNREADABLE, EOFError, OSError) as error:
        raise damaged(place, str(error)) from error


def image(content: bytes, side: int, place: Path, name: PurePosixPath, resize: bool = False) -> np.ndarray:
    """Return a picture as red, green and blue bytes, shape (3, side, side); a grey one has them alike.

    Args:
        content: of the file.
        side: pixels of a side that it must have.
        place: the folder or archive.
        name: of the file in it.
        resize: shrink or stretch it to that size instead, bilinear, as torchvision's ``Resize`` of both sides does.

    Raises:
        UserError: it cannot be decoded, or has another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as picture:
            coloured = picture.convert("RGB")
    except Exception as error:  # Pillow's readers raise whatever they like
        raise damaged(place / name, f"{type(error).__name__}: no picture that can be read") from error
    if resize and coloured.size != (side, side):
        coloured = coloured.resize((side, side), Image.Resampling.BILINEAR)
    if coloured.size != (side, side):
        raise damaged(place / name, f"{coloured.size[0]}×{coloured.size[1]} pixels where {side}×{side} are expected")
    return np.asarray(coloured).transpose(2, 0, 1)
