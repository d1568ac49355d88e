"""Data sets that need a licence: small files of the documented form are read, others are told."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedlayers.core.errors import UserError
from fedlayers.data.load import load_federation
from fedlayers.data.sets.isic2019 import PICTURES, Isic2019
from fedlayers.data.sets.mimic3 import Mimic3
from tests.support.data_configs import config

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


def isic(root: Path, rows: int = 48) -> Path:
    """Write FLamby's table and pictures: a third as wide again as high, one colour each."""
    (root / "isic2019" / PICTURES).mkdir(parents=True)
    lines = ["image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,target,center,fold,fold2"]
    for k in range(rows):
        target, centre = k % 8, k // 8 % 6
        lines.append(f"ISIC_{k:07d},{'0.0,' * 9}{target},{centre},train,train_{centre}")
        picture = Image.new("RGB", (40, 30), (k, 2 * k, 3 * k))
        picture.save(root / "isic2019" / PICTURES / f"ISIC_{k:07d}.jpg", quality=100, subsampling=0)
    (root / "isic2019" / "train_test_split").write_text("\n".join(lines) + "\n")
    return root


def test_lesions_are_read_by_centre_and_diagnosis(tmp_path: Path) -> None:
    isic(tmp_path)
    arrays = Isic2019(side=20).read(tmp_path)
    assert arrays.features.shape == (48, 3, 20, 20) and arrays.facts.group_names[2] == "vidir_modern"
    assert arrays.groups is not None and arrays.groups.tolist() == [k // 8 for k in range(48)]
    assert arrays.labels.tolist() == [k % 8 for k in range(48)]
    colours = arrays.features[:, :, 10, 10].astype(int)
    np.testing.assert_allclose(colours, np.arange(48)[:, None] * [1, 2, 3], atol=3)


def test_the_settings_of_playerfl_choose_centres_and_classes(tmp_path: Path) -> None:
    isic(tmp_path)
    source = Isic2019(["BCC", "BKL", "MEL", "NV"], [0, 1, 3, 5], per_centre=3, side=8)
    arrays = source.read(tmp_path)
    # In the order of the table MEL, NV and BCC come first.
    assert arrays.facts.classes == ("BCC", "BKL", "MEL", "NV") and arrays.labels.tolist() == [2, 3, 0] * 4
    assert arrays.facts.group_names == ("BCN", "vidir_molemax", "rosendahl", "vienna_dias")
    data = {"side": 8, "centres": [0, 2]}
    federation = load_federation(config("ISIC", "natural", data=data, data_dir=str(tmp_path)))
    assert federation.names == ("BCN", "vidir_modern") and federation.shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"classes": ["MEL"]}, r"dataset.classes must be two or more of MEL, .* got \['MEL'\]"),
        ({"classes": ["MEL", "flu"]}, "dataset.classes must be two or more of MEL"),
        ({"centres": [6]}, r"dataset.centres must be different numbers from 0 to 5, got \[6\]"),
        ({"per_centre": 0}, "dataset.per_centre must be 1 or more, or null for all, got 0"),
        ({"side": 0}, "dataset.side must be 1 or more, got 0"),
    ],
)
def test_what_there_is_not_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Isic2019(**arguments)


def test_what_lacks_of_the_lesions_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"files of ISIC, which are not downloaded, .* without isic2019/train_test_spl"):
        Isic2019().files(tmp_path)
    (tmp_path / "isic2019").mkdir()
    table = tmp_path / "isic2019" / "train_test_split"
    table.write_text("image,target,center\nx,0,0\n")
    with pytest.raises(UserError, match=f"has isic2019/{PICTURES}, got .* without"):
        Isic2019().files(tmp_path)
    (tmp_path / "isic2019" / PICTURES).mkdir()
    for text, sentence in (
        ("image,target,center\nx,0,0\n", r"x\.jpg, which the table names, is not there"),
        ("image,target\nx,0\n", "does not name columns image, target and center"),
        ("image,target,center\nx,0,9\n", "line 2 has target 0 and center 9"),
        ("image,target,center\n", "it has no picture of these classes and centres"),
    ):
        table.write_text(text)
        with pytest.raises(UserError, match=sentence):
            Isic2019().read(tmp_path)
    table.write_bytes(b"image,target,center\n\xff\xfe,0,0\n")
    with pytest.raises(UserError, match=r"train_test_split is damaged .*no table of texts"):
        Isic2019().read(tmp_path)


def notes(root: Path, text: str | None = None) -> Path:
    (root / "mimic3").mkdir(exist_ok=True)
    rows = [
        f'{group},"patient {k} with ""pain"", fever\nand {group}",{k % 2}'
        for group in ("infection", "mi", "brain", "gi")
        for k in range(12)
    ]
    content = "diagnosis,text,mortality\n" + "\n".join(rows) + "\n" if text is None else text
    (root / "mimic3" / "mortality.csv.gz").write_bytes(gzip.compress(content.encode()))
    return root


def test_notes_are_tokens_by_group_of_diagnoses(tmp_path: Path) -> None:
    notes(tmp_path)
    arrays = Mimic3(length=6).read(tmp_path)
    assert arrays.features.shape == (48, 6) and arrays.features.dtype == np.int32
    words = [arrays.facts.vocabulary[code] for code in arrays.features[0]]
    assert words == ["patient", "0", "with", '"', "pain", '"']
    assert arrays.facts.group_names == ("mi", "gi", "infection", "brain") and arrays.labels.mean() == 0.5
    assert arrays.groups is not None and arrays.groups[::12].tolist() == [2, 0, 3, 1]
    federation = load_federation(config("MIMIC", "natural", data={"length": 8}, data_dir=str(tmp_path)))
    assert federation.names == ("mi", "gi", "infection", "brain") and "pain" in federation.vocabulary


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("diagnosis,text\nmi,x\n", "it has no rows with columns diagnosis, text, mortality"),
        ("diagnosis,text,mortality\n", "it has no rows with columns"),
        ("diagnosis,text,mortality\nflu,x,0\n", "row 1 has another diagnosis than mi, gi, infection, brain"),
        ("diagnosis,text,mortality\nmi,x,2\n", "row 1 has another diagnosis than .*, or mortality than 0 or 1"),
    ],
)
def test_other_notes_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Mimic3().read(notes(tmp_path, text))


def test_what_lacks_of_the_notes_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"files of MIMIC, which are not downloaded, .*physionet\.org"):
        Mimic3().files(tmp_path)
    file = notes(tmp_path) / "mimic3" / "mortality.csv.gz"
    content = gzip.compress(bytes(range(256)) * 20)
    for other in (b"none", content[:-20], content[:20] + b"\xff" * 20 + content[40:]):
        file.write_bytes(other)
        with pytest.raises(UserError, match=r"mortality\.csv\.gz is damaged"):
            Mimic3().read(tmp_path)
    for arguments, sentence in (({"words": 2}, "dataset.words must be 3"), ({"length": 0}, "dataset.length must be 1")):
        with pytest.raises(UserError, match=sentence):
            Mimic3(**arguments)
