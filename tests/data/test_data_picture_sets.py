"""Data sets of pictures in the formats of their authors, made small by hand."""

import bz2
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.data.download import no_downloads
from fedlayers.data.sets.cifar10 import CLASSES
from fedlayers.data.sets.cifar100 import Cifar100
from fedlayers.data.sets.cinic10 import Cinic10
from fedlayers.data.sets.medmnist import SETS, MedMnist
from fedlayers.data.sets.svhn import Svhn
from fedlayers.data.sets.tiny_imagenet import TinyImageNet
from fedlayers.data.sets.usps import Usps

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind)
    return stream.getvalue()


def written(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def svhn(root: Path, **changes: Any) -> dict[str, np.ndarray]:
    (root / "svhn").mkdir(exist_ok=True)
    parts = {}
    for part, n in (("train", 30), ("test", 20)):
        content = {"X": pixels(32, 32, 3, n), "y": (np.arange(n) % 10 + 1).astype(np.uint8)[:, None], **changes}
        savemat(root / "svhn" / f"{part}_32x32.mat", content)
        parts[part] = content["X"]
    return parts


def test_house_numbers_are_read_with_ten_as_nought(tmp_path: Path) -> None:
    parts = svhn(tmp_path)
    arrays = Svhn().read(tmp_path)
    assert arrays.features.shape == (50, 3, 32, 32) and arrays.facts.num_test == 20
    np.testing.assert_array_equal(arrays.features[3, 2], parts["train"][:, :, 2, 3])
    assert arrays.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"X": np.zeros((32, 32, 3, 4))}, "X is float64 of shape"),
        ({"y": np.zeros((30, 1), np.uint8)}, "svhn/train_32x32.mat is damaged"),
        ({"X": pixels(32, 32, 3, 2), "y": np.array([[0], [3]])}, "labels from 0 to 3 where 1 to 10"),
    ],
)
def test_other_matlab_files_are_refused(tmp_path: Path, changes: dict[str, np.ndarray], said: str) -> None:
    svhn(tmp_path, **changes)
    with pytest.raises(UserError, match=said):
        Svhn().read(tmp_path)
    (tmp_path / "svhn" / "train_32x32.mat").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"train_32x32\.mat is damaged"):
        Svhn().read(tmp_path)


def usps_line(label: int, values: np.ndarray) -> str:
    return " ".join([str(label), *(f"{place}:{value:g}" for place, value in enumerate(values, 1))])


def test_postal_digits_are_read_as_they_are(tmp_path: Path) -> None:
    values = RANDOM.uniform(-1, 1, (6, 256)).round(4)
    lines = "\n".join(usps_line(k % 10 + 1, row) for k, row in enumerate(values)) + "\n"
    written(tmp_path / "usps", {"usps.bz2": bz2.compress(lines.encode()), "usps.t.bz2": bz2.compress(lines.encode())})
    arrays = Usps().read(tmp_path)
    np.testing.assert_allclose(arrays.features[:6].reshape(6, 256), values, rtol=1e-6)
    assert arrays.features.shape == (12, 1, 16, 16) and arrays.labels[:6].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no bz2", r"usps\.bz2 is damaged"),
        (bz2.compress(b"\n"), "it has no lines"),
        (bz2.compress(b"x 1:0\n"), "line 1: invalid literal"),
        (bz2.compress(b"1 1:0 2:0\n"), "line 1 is not a class from 1 to 10 and 256 numbered pixels"),
    ],
)
def test_other_text_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    written(tmp_path / "usps", {"usps.bz2": content, "usps.t.bz2": content})
    with pytest.raises(UserError, match=said):
        Usps().read(tmp_path)


def medmnist(root: Path, flavour: str, shape: tuple[int, ...], labels: np.ndarray, **changes: np.ndarray) -> None:
    (root / "medmnist").mkdir(exist_ok=True)
    content = {f"{part}_images": pixels(len(labels), *shape) for part in ("train", "val", "test")}
    content |= {f"{part}_labels": labels for part in ("train", "val", "test")}
    np.savez(root / "medmnist" / f"{flavour}.npz", **{**content, **changes})  # type: ignore[arg-type]


def test_medical_images_are_read_grey_or_coloured_and_with_several_labels(tmp_path: Path) -> None:
    medmnist(tmp_path, "pathmnist", (28, 28, 3), np.arange(9, dtype=np.uint8)[:, None])
    arrays = MedMnist().read(tmp_path)
    assert arrays.features.shape == (27, 3, 28, 28) and arrays.facts.num_test == 9 and arrays.labels.shape == (27,)
    medmnist(tmp_path, "chestmnist", (28, 28), RANDOM.integers(2, size=(5, 14)).astype(np.uint8))
    arrays = MedMnist("chestmnist").read(tmp_path)
    assert arrays.features.shape == (15, 1, 28, 28) and arrays.labels.shape == (15, 14)
    assert len({known.md5 for known in SETS.values()}) == 12 and all(len(known.md5) == 32 for known in SETS.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"val_labels": np.full((9, 1), 9)}, "labels from 0 to 9 of shape"),
        ({"val_labels": np.full((9, 1), -1)}, "labels from -1 to 8 of shape"),
        ({"val_images": pixels(9, 28, 28)}, "for training, validation and testing are of different shapes"),
        ({"test_images": np.zeros((9, 28, 28, 3))}, "test images are float64"),
        ({"test_labels": np.zeros(9, int)}, "test images are uint8 .* labels of shape"),
        ({"val_images": np.array(None)}, r"pathmnist\.npz is damaged"),
    ],
)
def test_other_medical_images_are_refused(tmp_path: Path, changes: dict[str, np.ndarray], said: str) -> None:
    medmnist(tmp_path, "pathmnist", (28, 28, 3), np.arange(9)[:, None], **changes)
    with pytest.raises(UserError, match=said):
        MedMnist().read(tmp_path)
    with pytest.raises(UserError, match=r"dataset.flavour must be one of pathmnist, .* got 'organmnist3d'"):
        MedMnist("organmnist3d")


def cinic() -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    pictures = {
        f"{part}/{name}/{part[:2]}-{k}.png": pixels(32, 32, 3)
        for part in ("train", "valid", "test")
        for name in CLASSES
        for k in range(2)
    }
    pictures["train/cat/grey.png"] = pixels(32, 32)
    return {name: encoded(picture) for name, picture in pictures.items()}, pictures


def test_cinic_is_read_from_folders_and_from_its_archive_alike(tmp_path: Path) -> None:
    files, pictures = cinic()
    with tarfile.open(_made(tmp_path / "packed" / "CINIC-10") / "CINIC-10.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    written(tmp_path / "plain" / "CINIC-10", files)
    found = [Cinic10().read(tmp_path / kind) for kind in ("packed", "plain")]
    np.testing.assert_array_equal(found[0].features, found[1].features)
    np.testing.assert_array_equal(found[0].labels, found[1].labels)
    assert found[0].facts.num_test == 20 and len(found[0].labels) == 61
    order = sorted(name for name in pictures if name.startswith("t") and not name.startswith("train"))
    np.testing.assert_array_equal(
        found[0].features[-20:], np.stack([pictures[name].transpose(2, 0, 1) for name in order])
    )
    # The one that is grey has the same value in all colours.
    assert any((picture[0] == picture[1]).all() for picture in found[0].features[:41])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_what_is_no_picture_of_that_size_is_refused(tmp_path: Path) -> None:
    files, _ = cinic()
    root = tmp_path / "CINIC-10"
    written(root, {**files, "train/cat/odd.png": encoded(pixels(8, 32, 3))})
    with pytest.raises(UserError, match="32×8 pixels where 32×32 are expected"):
        Cinic10().read(tmp_path)
    (root / "train/cat/odd.png").write_bytes(b"none")
    with pytest.raises(UserError, match="no picture that can be read"):
        Cinic10().read(tmp_path)


@pytest.mark.parametrize("place", ["CINIC-10/CINIC-10.tar.gz", "tiny-imagenet-200.zip"])
def test_archives_with_other_bytes_in_their_middle_are_told(tmp_path: Path, place: str) -> None:
    path = _made((tmp_path / place).parent) / Path(place).name
    noise = RANDOM.integers(97, 100, size=20_000, dtype=np.uint8).tobytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("tiny-imagenet-200/wnids.txt", noise)
    else:
        with tarfile.open(path, "w:gz") as packed:
            packed.addfile(tarfile.TarInfo("CINIC-10/train/cat/a.png"), io.BytesIO(noise))
            packed.addfile(_member("CINIC-10/train/cat/b.png", len(noise)), io.BytesIO(noise))
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + b"\xff" * 200 + content[half + 200 :])
    source = TinyImageNet() if path.suffix == ".zip" else Cinic10()
    with pytest.raises(UserError, match=f"{path.name} is damaged"):
        source.read(tmp_path)


def _member(name: str, size: int) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.size = size
    return found


def test_a_folder_without_classes_is_told(tmp_path: Path) -> None:
    _made(tmp_path / "CINIC-10" / "train")
    with pytest.raises(UserError, match="no folder of a class in it"):
        Cinic10().read(tmp_path)


def test_archives_that_are_damaged_or_empty_are_told(tmp_path: Path) -> None:
    written(tmp_path, {"CINIC-10/CINIC-10.tar.gz": b"none", "tiny-imagenet-200.zip": b"none"})
    with pytest.raises(UserError, match=r"CINIC-10\.tar\.gz is damaged"):
        Cinic10().read(tmp_path)
    with pytest.raises(UserError, match=r"tiny-imagenet-200\.zip is damaged"):
        TinyImageNet().read(tmp_path)
    with tarfile.open(tmp_path / "CINIC-10" / "CINIC-10.tar.gz", "w:gz"):
        pass
    with pytest.raises(UserError, match="0 images for training and 0 for testing"):
        Cinic10().read(tmp_path)


def tiny() -> dict[str, bytes]:
    wnids = ["n01", "n02", "n03"]
    files = {
        f"train/{wnid}/images/{wnid}_{k}.JPEG": encoded(pixels(64, 64, 3), "JPEG") for wnid in wnids for k in range(3)
    }
    files |= {f"val/images/val_{k}.JPEG": encoded(pixels(64, 64), "JPEG") for k in range(3)}
    files |= {"test/images/test_0.JPEG": encoded(pixels(64, 64, 3), "JPEG")}
    files["wnids.txt"] = "\n".join(wnids).encode()
    files["words.txt"] = b"n01\tfish, tench\nn02\tcrane\nn03\tcrane, bird\nn04\tother\n"
    files["val/val_annotations.txt"] = "".join(f"val_{k}.JPEG\tn0{3 - k}\t0\t0\t9\t9\n" for k in range(3)).encode()
    return {f"tiny-imagenet-200/{name}": content for name, content in files.items()}


def test_tiny_imagenet_is_read_from_its_folder_and_from_its_archive_alike(tmp_path: Path) -> None:
    with zipfile.ZipFile(_made(tmp_path / "packed") / "tiny-imagenet-200.zip", "w") as archive:
        for name, content in tiny().items():
            archive.writestr(name, content)
    with zipfile.ZipFile(tmp_path / "packed" / "tiny-imagenet-200.zip") as archive:
        archive.extractall(tmp_path / "plain")
    found = [TinyImageNet().read(tmp_path / kind) for kind in ("packed", "plain")]
    np.testing.assert_array_equal(found[0].features, found[1].features)
    assert found[0].features.shape == (12, 3, 64, 64) and found[0].facts.num_test == 3
    assert found[0].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 1, 0]
    assert found[0].facts.classes == ("fish", "crane (n02)", "crane (n03)")


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("words.txt", r"no words\.txt in it"),
        ("wnids.txt", "is of no class in wnids"),
        ("val/images", "9 images for training and 0 for validation"),
    ],
)
def test_what_tiny_imagenet_lacks_is_told(tmp_path: Path, lacking: str, said: str) -> None:
    files = {name: content for name, content in tiny().items() if lacking not in name}
    if lacking == "wnids.txt":
        files["tiny-imagenet-200/wnids.txt"] = b"n01\n"
    written(tmp_path, files)
    with pytest.raises(UserError, match=said):
        TinyImageNet().read(tmp_path)


def test_both_levels_of_labels_of_cifar_100_are_read(tmp_path: Path) -> None:
    rows = np.concatenate([np.array([[3, 77], [19, 2]], np.uint8), pixels(2, 3072)], 1)
    for part in ("train", "test"):
        written(tmp_path / "cifar-100-binary", {f"{part}.bin": rows.tobytes()})
    fine, coarse = (Cifar100(level).read(tmp_path) for level in ("fine", "coarse"))
    assert fine.labels.tolist() == [77, 2, 77, 2] and coarse.labels.tolist() == [3, 19, 3, 19]
    assert (len(fine.facts.classes), len(coarse.facts.classes)) == (100, 20)
    np.testing.assert_array_equal(fine.features, coarse.features)
    with pytest.raises(UserError, match=r"dataset.labels must be fine \(100 classes\) or coarse \(20\), got 'both'"):
        Cifar100("both")


@pytest.mark.parametrize("source", [Svhn(), Usps(), MedMnist(), Cinic10(), TinyImageNet()])
def test_without_files_and_network_the_sentence_says_where_they_come_from(tmp_path: Path, source: Any) -> None:
    with no_downloads(), pytest.raises(UserError, match=r"could not be downloaded[\s\S]*from http"):
        source.files(tmp_path)


def test_a_federation_of_house_numbers_runs(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    svhn(tmp_path)
    run = quick_run(
        "dataset=SVHN", f"data_dir={tmp_path}", "clients=2", "rounds=1", "examples_per_client=null", "model=mlp"
    )
    assert (fedlayers.read(run).records["status"] == "ok").mean() > 0.8
