"""The IDX format of the MNIST family: a header with the shape, then unsigned bytes; plain or gzipped.

It is unpacked in memory: ``pooch.Decompress`` would leave a copy beside the file, in a folder that may be read-only.
"""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from fedlayers.data.source import damaged


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Return the array of an IDX file of unsigned bytes.

    Args:
        path: an IDX file; gzipped if it ends in ``.gz``.
        dimensions: how many dimensions the array must have: 3 for images, 1 for labels.

    Raises:
        UserError: if the file is cut short or of another kind.

    References:
        LeCun, Cortes and Burges, The MNIST database of handwritten digits, section "File formats".
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise damaged(path, str(error)) from error
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes((0, 0, 8, dimensions)):
        raise damaged(path, f"no IDX header of {dimensions} dimensions of bytes")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, 4))
    if len(data) - start != math.prod(shape):
        raise damaged(path, f"{len(data) - start} bytes of data where the header says {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
