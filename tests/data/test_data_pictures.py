"""Pictures of every mode: the arrays are what was encoded, or the picture is refused by column and example."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from fedlayers.core.errors import UserError
from fedlayers.data.formats.images import stack
from fedlayers.data.formats.pictures import Pixels, pixels_of, read_picture
from fedlayers.data.formats.place import ColumnPlace

GENERATOR = np.random.default_rng(0)
BYTES = GENERATOR.integers(0, 256, (5, 7, 4)).astype(np.uint8)
OPAQUE = np.concatenate([BYTES[..., :3], np.full((5, 7, 1), 255, np.uint8)], axis=2)
WORDS = GENERATOR.integers(0, 2**16, (5, 7)).astype(np.uint16)
INTEGERS = GENERATOR.integers(-(2**31), 2**31, (5, 7)).astype(np.int32)
FLOATS = GENERATOR.random((5, 7)).astype(np.float32)
WHERE = ColumnPlace("img", [("train", 3), ("test", 9)])


def encoded(picture: Any, kind: str = "TIFF", **arguments: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **arguments)
    return buffer.getvalue()


def picture_of(mode: str, array: np.ndarray) -> Any:
    """A picture whose memory holds the array, whatever its mode."""
    array = np.ascontiguousarray(array)
    return Image.frombuffer(mode, (array.shape[1], array.shape[0]), array.tobytes(), "raw", mode, 0, 1)


def read(content: Any) -> Pixels:
    return read_picture(content, 4, WHERE)


def png(depth: int, colour: int, channels: int, side: int = 2) -> bytes:
    """A PNG that says how large it is, written by hand, for Pillow writes no 16 bits of several channels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    lines = (b"\0" + bytes(2 * channels * depth // 8)) * 2
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


PALETTE = [value for k in range(256) for value in (k, 255 - k, k // 2)]
GREY_PALETTE = [255 - value // 3 for value in range(3 * 256)]


def indexed(palette: list[int], alpha: bytes | None = None) -> bytes:
    picture = picture_of("P", BYTES[..., 0])
    picture.putpalette(palette)
    return encoded(picture, "PNG", **({} if alpha is None else {"transparency": alpha}))


ALPHA = bytes(range(256))
COLOURS = np.array(PALETTE, np.uint8).reshape(256, 3)[BYTES[..., 0]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(Image.fromarray(BYTES[..., 0] > 99), "PNG"), (BYTES[..., :1] > 99) * np.uint8(255)),
        (encoded(picture_of("L", BYTES[..., 0]), "PNG"), BYTES[..., :1]),
        (encoded(picture_of("LA", BYTES[..., :2]), "PNG"), BYTES[..., :2]),
        (encoded(picture_of("LA", OPAQUE[..., 2:]), "PNG"), OPAQUE[..., 2:3]),
        (encoded(picture_of("RGB", BYTES[..., :3]), "PNG"), BYTES[..., :3]),
        (encoded(picture_of("RGBA", BYTES), "PNG"), BYTES),
        (encoded(picture_of("RGBA", OPAQUE), "PNG"), OPAQUE[..., :3]),
        (indexed(PALETTE), COLOURS),
        (indexed(GREY_PALETTE), 255 - BYTES[..., :1]),
        (indexed(PALETTE, ALPHA), np.concatenate([COLOURS, BYTES[..., :1]], axis=2)),
        (indexed(GREY_PALETTE, ALPHA), np.concatenate([255 - BYTES[..., :1], BYTES[..., :1]], axis=2)),
        (encoded(picture_of("L", BYTES[..., 0]), "PNG", transparency=int(BYTES[0, 0, 0])), None),
        (encoded(picture_of("CMYK", np.concatenate([255 - BYTES[..., :3], BYTES[..., :1] * 0], 2))), BYTES[..., :3]),
        (encoded(picture_of("I;16", WORDS), "PNG"), WORDS[..., None]),
        (encoded(picture_of("I;16", WORDS)), WORDS[..., None]),
        (encoded(picture_of("I;16B", WORDS.astype(">u2"))), WORDS[..., None]),
        (encoded(picture_of("I", INTEGERS)), INTEGERS[..., None]),
        (encoded(picture_of("F", FLOATS)), FLOATS[..., None]),
    ],
    ids=[
        "1", "L", "LA", "LA opaque", "RGB", "RGBA", "RGBA opaque", "P", "P grey", "P transparent", "P grey transparent",
        "L one value transparent", "CMYK", "PNG 16", "TIFF 16", "TIFF 16 big-endian", "I", "F",
    ],
)  # fmt: skip
def test_what_was_encoded_is_read(content: bytes, expected: np.ndarray | None) -> None:
    if expected is None:
        alpha = np.where(BYTES[..., :1] == BYTES[0, 0, 0], 0, 255).astype(np.uint8)
        expected = np.concatenate([BYTES[..., :1], alpha], axis=2)
    for value in (content, {"bytes": content, "path": None}):
        values = read(value).values
        np.testing.assert_array_equal(values, expected)
        assert (values.dtype == np.uint8) == (expected.dtype == np.uint8)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_sixteen_bits_of_every_byte_order_in_memory(mode: str) -> None:
    array = WORDS.astype(">u2" if mode == "I;16B" else "<u2" if mode in ("I;16", "I;16L") else "=u2")
    np.testing.assert_array_equal(pixels_of(picture_of(mode, array), "it").values[..., 0], WORDS)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX", "RGBa", "La", "PA", "CMYK"])
def test_other_modes_in_memory_are_what_pillow_shows(mode: str) -> None:
    channels = {"La": 2, "PA": 2, "RGBX": 4, "RGBa": 4, "CMYK": 4}.get(mode, 3)
    picture = picture_of(mode, BYTES[..., :channels])
    if mode == "PA":
        picture.putpalette(PALETTE)
    wanted = {"RGBa": "RGBA", "La": "LA", "PA": "RGBA"}.get(mode, "RGB")
    pixels = pixels_of(picture, "it")
    np.testing.assert_array_equal(pixels.values, np.asarray(picture.convert(wanted)))
    assert pixels.mode == mode


def tiff(dtype: str, sample_format: int | None) -> bytes:
    """A TIFF file of one strip, written by hand: integers that Pillow does not write."""
    data = np.array([[1, 2], [-3, 4]]).astype(dtype)
    tags = {256: 2, 257: 2, 258: 8 * data.itemsize, 259: 1, 262: 1, 273: 200, 277: 1, 278: 2, 279: data.nbytes}
    if sample_format:
        tags[339] = sample_format
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(200, b"\0") + data.tobytes()


@pytest.mark.parametrize(
    ("dtype", "sample_format", "expected"),
    [
        ("i1", 2, [1, 2, -3, 4]),
        ("u1", 1, [1, 2, 253, 4]),
        ("<i2", 2, [1, 2, -3, 4]),
        ("<u2", 1, [1, 2, 65533, 4]),
        ("<i4", 2, [1, 2, -3, 4]),
        ("<u4", 1, [1, 2, 2**32 - 3, 4]),
        ("<u4", None, [1, 2, 2**32 - 3, 4]),
    ],
)
def test_signed_and_unsigned_integers_of_tiff_files(dtype: str, sample_format: int | None, expected: list[int]) -> None:
    assert read(tiff(dtype, sample_format)).values.ravel().tolist() == expected


def test_pictures_are_turned_as_their_exif_orientation_says() -> None:
    picture = picture_of("RGB", BYTES[..., :3])
    exif = picture.getexif()
    exif[ExifTags.Base.Orientation] = 6  # to be turned by 270 degrees counter-clockwise
    np.testing.assert_array_equal(read(encoded(picture, "PNG", exif=exif)).values, np.rot90(BYTES[..., :3], 3))


def frames(kind: str) -> bytes:
    pictures = [picture_of("RGB", BYTES[..., k : k + 3]) for k in (0, 1)]
    return encoded(pictures[0], kind, save_all=True, append_images=pictures[1:])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, r"a column of pictures, got none in example 1 of column img in split test; leave the example out"),
        ({"bytes": None, "path": None}, r"got none in example 1 of column img in split test"),
        (b"", r"cannot be read: example 1 of column img in split test \(UnidentifiedImageError: of no known format\)"),
        (b"no picture", r"example 1 of column img in split test \(UnidentifiedImageError"),
        (encoded(picture_of("RGB", BYTES[..., :3]), "PNG")[:60], r"example 1 of column img in split test"),
        ({"bytes": None, "path": "/nowhere/a.png"}, r"cannot be opened in example 1 .*/nowhere/a.png \(FileNotFound"),
        ({"bytes": None, "path": "http://127.0.0.1:9/a.png"}, r"cannot be opened in example 1 .*\(FileNotFoundError\)"),
        (
            {"bytes": None, "path": "zip://a.png::/nowhere.zip"},
            r"cannot be opened in example 1 .*\(FileNotFoundError\)",
        ),
        (frames("GIF"), r"single pictures, got 2 frames in example 1 of column img in split test; save the frame"),
        (frames("TIFF"), r"got 2 frames in example 1"),
        (frames("PNG"), r"got 2 frames in example 1"),
        (frames("WEBP"), r"got 2 frames in example 1"),
        (png(16, 2, 3), r"got 16 bits in each of several channels in example 1 of column img in split test, of which"),
        (png(16, 6, 4), r"got 16 bits in each of several channels in example 1"),
        (png(16, 4, 2), r"got 16 bits in each of several channels in example 1"),
        (png(8, 0, 1, side=100_000), r"example 1 of column img in split test \(DecompressionBombError: Image size"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", r"got a program \(EPS\) in example 1"),
        (encoded(picture_of("F", np.where(FLOATS > 0.5, np.nan, FLOATS))), r"finite values, got NaN or .* example 1"),
    ],
)
def test_what_cannot_be_read_is_named(content: Any, match: str) -> None:
    with pytest.raises(UserError, match=match):
        read(content)


def test_a_camera_picture_with_a_preview_is_its_first_frame() -> None:
    content = frames("MPO")
    assert Image.open(io.BytesIO(content)).format == "MPO"
    assert read(content).values.shape == (5, 7, 3)


def test_pictures_in_files_and_archives(tmp_path: Path) -> None:
    import zipfile

    content = encoded(picture_of("L", BYTES[..., 0]), "PNG")
    (tmp_path / "a.png").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/a.png", content)
    for path in (str(tmp_path / "a.png"), f"zip://in/a.png::{tmp_path}/a.zip"):
        np.testing.assert_array_equal(read({"bytes": None, "path": path}).values, BYTES[..., :1])


def stacked(*pictures: tuple[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...]]:
    return stack((pixels_of(picture_of(mode, array), "it") for mode, array in pictures), WHERE)


def test_mixed_modes_are_brought_to_red_green_blue_and_alpha() -> None:
    images, notes = stacked(("L", BYTES[..., 0]), ("RGBA", BYTES), ("RGB", BYTES[..., :3]))
    assert images.shape == (3, 4, 5, 7) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[0, :3], np.stack([BYTES[..., 0]] * 3))
    np.testing.assert_array_equal(images[1], BYTES.transpose(2, 0, 1))
    assert (images[[0, 2], 3] == 255).all()
    assert "(1 of mode L, 1 of mode RGB, 1 of mode RGBA) are all taken as red, green and blue" in notes[0]
    assert notes[1] == "pictures of column img are not opaque everywhere: their alpha is the last channel"


def test_grey_pictures_with_alpha_have_two_channels() -> None:
    images, _ = stacked(("L", BYTES[..., 0]), ("LA", BYTES[..., 1:3]))
    np.testing.assert_array_equal(images[1], BYTES[..., 1:3].transpose(2, 0, 1))
    assert (images[0, 1] == 255).all()


@pytest.mark.parametrize(
    ("mode", "array", "dtype", "kind"),
    [
        ("I;16", WORDS, np.float32, "integers of more than 8 bits"),
        ("I", INTEGERS, np.float64, "integers of more than 8 bits"),
        ("F", FLOATS, np.float32, "floats"),
    ],
)
def test_wide_pictures_keep_every_value(mode: str, array: np.ndarray, dtype: type, kind: str) -> None:
    images, notes = stacked((mode, array), (mode, array[::-1]))
    assert images.dtype == dtype and images.shape == (2, 1, 5, 7)
    np.testing.assert_array_equal(images[:, 0], np.stack([array, array[::-1]]).astype(np.float64))
    assert notes == (
        f"pictures of column img are {kind}: their values are kept, normalised with mean and standard deviation of the "
        "training pictures",
    )


def test_pictures_of_different_kinds_are_refused() -> None:
    with pytest.raises(UserError, match=r"got floats in example 1 of column img in split train and 8 bits a channel"):
        stacked(("L", BYTES[..., 0]), ("F", FLOATS))
    with pytest.raises(UserError, match=r"got integers of more than 8 bits in example 1 .* and floats before"):
        stacked(("F", FLOATS), ("I;16", WORDS))


def test_no_pictures_are_no_images() -> None:
    assert stack([], WHERE)[0].shape == (0, 1, 0, 0)
