"""Configurations and tiny files of data sets for the tests of the data layer."""

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fedlayers.config.schema.settings import Config, Split

CHECKOUT = Path(__file__).resolve().parents[2]
REAL_DATA = Path(os.environ.get("FEDLAYERS_DATA", CHECKOUT.parent / "shared" / "data"))
needs_real_data = pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the folder with the real data sets is missing")


def option(group: str, name: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return one option of ``conf`` with some values changed, without its defaults list."""
    content = yaml.safe_load((CHECKOUT / "conf" / group / f"{name}.yaml").read_text(encoding="utf-8"))
    content.pop("defaults", None)
    return {**content, **(changes or {})}


def config(
    dataset: str = "digits",
    partition: str = "iid",
    *,
    data: dict[str, Any] | None = None,
    part: dict[str, Any] | None = None,
    split: dict[str, Any] | None = None,
    **values: Any,
) -> Config:
    """Return a configuration of two options, with ``data`` and ``part`` changing their values."""
    values.setdefault("data_dir", str(REAL_DATA))
    return Config(
        dataset=option("dataset", dataset, data),
        partition=option("partition", partition, part),
        model={"name": "mlp"},
        algorithm={"name": "fedavg"},
        metrics={},
        split=Split(**(split or {})),
        **values,
    )


def idx_bytes(array: np.ndarray) -> bytes:
    """Return an array of bytes in the IDX format."""
    header = bytes((0, 0, 8, array.ndim)) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist_like(folder: Path, prefixes: tuple[str, str], classes: int, zipped: bool = True) -> np.ndarray:
    """Write 60 training and 30 test images of 28×28 pixels in torchvision's layout; return all images."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (90, 28, 28)).astype(np.uint8)
    labels = np.arange(90) % classes
    for prefix, rows in zip(prefixes, (slice(0, 60), slice(60, 90)), strict=True):
        for kind, array in (("images-idx3-ubyte", images[rows]), ("labels-idx1-ubyte", labels[rows])):
            content = idx_bytes(array)
            path = folder / f"{prefix}-{kind}"
            if zipped:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
            else:
                path.write_bytes(content)
    return images


HEART_ROWS = {"cleveland": 20, "hungarian": 16, "switzerland": 12, "va": 10}


def heart_table(rows: int, seed: int) -> list[list[str]]:
    """Return made-up patients: 13 attributes with a gap here and there, and a diagnosis."""
    generator = np.random.default_rng(seed)
    values = generator.integers(1, 100, (rows, 13)).astype(str).tolist()
    for row in values[::4]:
        row[4] = "?"
    return [[*row, str(k % 5)] for k, row in enumerate(values)]


def write_heart(root: Path, tables: dict[str, list[list[str]]] | None = None) -> None:
    """Write the four hospitals' files."""
    tables = tables or {name: heart_table(rows, seed) for seed, (name, rows) in enumerate(HEART_ROWS.items())}
    (root / "heart").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        text = "\n".join(",".join(row) for row in table)
        (root / "heart" / f"processed.{name}.data").write_text(text + "\n")
