"""Readers and downloads: damaged files are named, archives are unpacked safely, nothing is fetched twice."""

import hashlib
import io
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fedlayers.core.errors import UserError
from fedlayers.core.machine.cache_root import cache_root
from fedlayers.data.cache import build_once, data_root
from fedlayers.data.download import Download, fetch
from fedlayers.data.sealed_folder import seal
from fedlayers.data.sets.cifar10 import Cifar10
from fedlayers.data.sets.cifar100 import Cifar100
from fedlayers.data.sets.heart import Heart
from fedlayers.data.sets.idx import read_idx
from fedlayers.data.sets.mnist import emnist, fashion_mnist, kmnist, mnist
from tests.support.data_configs import (
    HEART_ROWS,
    REAL_DATA,
    heart_table,
    idx_bytes,
    needs_real_data,
    write_heart,
    write_mnist_like,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Address -> content of a made-up network; pooch's own checksum test and renaming stay in place."""
    import pooch

    pages: dict[str, bytes] = {}

    class Downloader:
        def __init__(self, **_: object) -> None:
            pass

        def __call__(self, url: str, output_file: str, *_: object) -> None:
            if url not in pages:
                raise OSError(f"no route to {url}")
            Path(output_file).write_bytes(pages.pop(url))

    monkeypatch.setattr(pooch, "HTTPDownloader", Downloader)
    return pages


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_a_file_is_downloaded_once(tmp_path: Path, served: dict[str, bytes]) -> None:
    served["https://x.org/a.gz"] = b"content"
    download = Download("https://x.org/a.gz", "set/raw", md5(b"content"))
    for _ in range(2):  # the second time the address is gone
        assert fetch("X", [download], tmp_path / "data") == [tmp_path / "data/set/raw/a.gz"]
    assert (tmp_path / "data/set/raw/a.gz").read_bytes() == b"content"
    assert sorted(path.name for path in (tmp_path / "data").rglob("*")) == ["a.gz", "raw", "set"]


def test_files_that_are_there_are_used_whatever_their_checksum(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a").write_bytes(b"own data, unpacked")
    assert fetch("X", [Download("https://x.org/a.gz", "raw", md5(b"other"))], tmp_path) == [tmp_path / "raw" / "a"]


def test_a_download_with_another_checksum_is_refused(tmp_path: Path, served: dict[str, bytes]) -> None:
    served["https://x.org/a.gz"] = b"not what it was"
    with pytest.raises(
        UserError, match=r"of X, got .*/data, and the missing ones could not be downloaded \(ValueError"
    ):
        fetch("X", [Download("https://x.org/a.gz", "raw", md5(b"content"))], tmp_path / "new" / "data")
    assert not (tmp_path / "new").exists(), "nothing is left where the data should be"


def test_a_text_file_without_checksum_must_have_its_rows(tmp_path: Path, served: dict[str, bytes]) -> None:
    served["https://x.org/a.data"] = b"<html>moved</html>\n"
    with pytest.raises(UserError, match=r"https://x.org/a.data has 1 lines instead of 3"):
        fetch("X", [Download("https://x.org/a.data", "raw", None, rows=3)], tmp_path)


def tar_of(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


@pytest.mark.parametrize(("ending", "pack"), [(".tar.gz", tar_of), (".zip", zip_of)], ids=["tar", "zip"])
def test_only_the_named_members_leave_an_archive(
    tmp_path: Path, served: dict[str, bytes], ending: str, pack: object
) -> None:
    assert callable(pack)
    url = f"https://x.org/all{ending}"
    served[url] = pack({"in/a.bin": b"a", "in/b.bin": b"b", "../../evil": b"evil", "/etc/evil": b"evil"})
    root = tmp_path / "root"
    paths = fetch("X", [Download(url, "set", md5(served[url]), ("in/a.bin", "in/b.bin"))], root)
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]
    assert sorted(path.name for path in root.rglob("*")) == ["a.bin", "b.bin", "set"]


@pytest.mark.parametrize(("ending", "pack"), [(".tar.gz", tar_of), (".zip", zip_of)], ids=["tar", "zip"])
def test_only_what_is_missing_is_taken_from_an_archive(
    tmp_path: Path, served: dict[str, bytes], ending: str, pack: object
) -> None:
    assert callable(pack)
    url = f"https://x.org/all{ending}"
    served[url] = pack({"in/b.bin.more": b"?", "in/a.bin": b"a", "in/b.bin": b"b"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.bin").write_bytes(b"own")
    paths = fetch("X", [Download(url, "set", md5(served[url]), ("in/a.bin", "in/b.bin"))], tmp_path)
    assert [path.read_bytes() for path in paths] == [b"own", b"b"]
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["a.bin", "b.bin"]


@pytest.mark.parametrize(("ending", "pack"), [(".tar.gz", tar_of), (".zip", zip_of)], ids=["tar", "zip"])
def test_an_archive_without_a_member_is_refused(
    tmp_path: Path, served: dict[str, bytes], ending: str, pack: object
) -> None:
    assert callable(pack)
    url = f"https://x.org/all{ending}"
    served[url] = pack({"other": b""})
    with pytest.raises(UserError, match=rf"in/a.bin in {url} is not a file\)(.|\n)*all{ending} \(in it: in/a.bin\)"):
        fetch("X", [Download(url, "set", md5(served[url]), ("in/a.bin",))], tmp_path)
    assert not list(tmp_path.glob(".download-*"))


def test_an_archive_of_unknown_content_is_not_unpacked() -> None:
    with pytest.raises(
        UserError, match=r"Download: md5 or sha256 must be given for an archive, got None for https://x.org/all"
    ):
        Download("https://x.org/all.zip", "set", None, ("in/a.bin",))


def test_what_is_no_archive_is_told(tmp_path: Path, served: dict[str, bytes]) -> None:
    for url in ("https://x.org/all.zip", "https://x.org/all"):
        served[url] = b"<html>moved</html>"
        with pytest.raises(UserError, match=r"could not be downloaded \((BadZipFile|ReadError): "):
            fetch("X", [Download(url, "set", md5(served[url]), ("in/a.bin",))], tmp_path)


def test_a_member_that_is_a_folder_is_refused(tmp_path: Path, served: dict[str, bytes]) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        info = tarfile.TarInfo("in/a.bin")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    url = "https://x.org/all.tar.gz"
    served[url] = sink.getvalue()
    with pytest.raises(UserError, match="is not a file"):
        fetch("X", [Download(url, "set", md5(served[url]), ("in/a.bin",))], tmp_path)


def test_every_missing_file_is_listed_with_its_place_and_address(tmp_path: Path, served: dict[str, bytes]) -> None:
    with pytest.raises(UserError, match=r"got .*could not be downloaded") as caught:
        Heart().files(tmp_path)
    for hospital in HEART_ROWS:
        assert f"{tmp_path}/heart/processed.{hospital}.data  from https://archive.ics.uci.edu/" in str(caught.value)
    with pytest.raises(UserError, match=r"in it: cifar-10-batches-bin/test_batch.bin"):
        Cifar10().files(tmp_path)
    with pytest.raises(UserError, match=r"in it: cifar-100-binary/test.bin"):
        Cifar100().files(tmp_path)
    with pytest.raises(UserError, match=r"in it: gzip/emnist-byclass-train-images-idx3-ubyte.gz"):
        emnist().files(tmp_path)


def test_the_downloads_of_the_mnist_family_have_checksums_and_folders_of_their_own() -> None:
    families = [mnist(), fashion_mnist(), kmnist(), emnist("balanced")]
    sums = [download.md5 for family in families for download in family.downloads]
    assert len(set(sums)) == 13 and all(value is not None and len(value) == 32 for value in sums)
    folders = [family.downloads[0].folder for family in families]
    assert folders == ["MNIST/raw", "FashionMNIST/raw", "KMNIST/raw", "EMNIST/raw"]


def test_emnist_has_other_splits_but_not_here() -> None:
    with pytest.raises(UserError, match=r"dataset.split must be byclass or balanced, got 'letters'"):
        emnist("letters")
    assert "".join(emnist("balanced").classes[36:]) == "abdefghnqrt"


@pytest.mark.parametrize("zipped", [True, False], ids=["gz", "plain"])
def test_a_truncated_image_file_is_named(tmp_path: Path, zipped: bool) -> None:
    write_mnist_like(tmp_path / "MNIST" / "raw", ("train", "t10k"), 10, zipped)
    path = tmp_path / "MNIST" / "raw" / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{path} is damaged or not what its name says .*delete it"):
        mnist().read(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "no IDX header"), (b"\0\0\x08\x03\0\0", "no IDX header"), (idx_bytes(np.zeros(9)), "no IDX header of 3")],
    ids=["empty", "short", "labels"],
)
def test_a_file_that_is_no_idx_file_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(UserError, match=rf"{tmp_path}/images is damaged .*{why}"):
        read_idx(tmp_path / "images", 3)


def test_test_images_of_another_size_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    write_mnist_like(folder, ("train", "t10k"), 10, zipped=False)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((30, 27, 28))))
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte is damaged .*\(27, 28\) pixels .* have \(28, 28\)"):
        mnist().read(tmp_path)


def test_a_header_that_overflows_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(bytes((0, 0, 8, 3)) + b"\0\x40\0\0" * 2 + b"\0\1\0\0")
    with pytest.raises(
        UserError, match=r"images is damaged .*0 bytes of data where the header says \(4194304, 4194304"
    ):
        read_idx(tmp_path / "images", 3)


def test_labels_must_fit_the_images_and_the_classes(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    write_mnist_like(folder, ("train", "t10k"), 10, zipped=False)
    labels = folder / "train-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(59)))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte is damaged .*59 labels for 60 images"):
        mnist().read(tmp_path)
    labels.write_bytes(idx_bytes(np.full(60, 10)))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte is damaged .*label 10 where there are 10 classes"):
        mnist().read(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"), [(b"\1" * 3072, "3072 bytes are not a whole number"), (b"\x0b" * 3073, "label 11 where")]
)
def test_a_damaged_cifar_file_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        (folder / f"{name}.bin").write_bytes(bytes(3073))
    (folder / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(UserError, match=f"data_batch_3.bin is damaged .*{why}"):
        Cifar10().read(tmp_path)


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"\1" * 3073, "3073 bytes are not a whole number of examples of 3074"), (b"\x64" * 3074, "label 100 where")],
)
def test_a_damaged_file_of_cifar_100_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    (folder / "train.bin").write_bytes(bytes(3074))
    (folder / "test.bin").write_bytes(content)
    with pytest.raises(UserError, match=f"test.bin is damaged .*{why}"):
        Cifar100().read(tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1,2,3\n", "line 1 does not have 14 values"),
        ("", "it has no lines"),
        (",".join(["x"] * 14), "line 1: could not convert"),
        (",".join(["1"] * 14) + "\n" + ",".join(["1"] * 12 + ["", "1"]), "line 2: could not convert"),
        (",".join(["1"] * 14) + "\n\n" + ",".join(["1"] * 13), "line 3 does not have 14 values"),
        (",".join(["1"] * 12 + ["nan", "1"]), r"line 1 has a value that is not finite; only \? is missing"),
        (",".join(["inf"] + ["1"] * 13), "line 1 has a value that is not finite"),
        (",".join(["1"] * 13 + ["7"]), "line 1: a diagnosis is not 0, 1, 2, 3 or 4"),
        (",".join(["1"] * 13 + ["?"]), "line 1: a diagnosis is not 0, 1, 2, 3 or 4"),
    ],
    ids=["short", "empty", "text", "gap", "short later", "nan", "inf", "diagnosis", "no diagnosis"],
)
def test_a_damaged_heart_file_is_named(tmp_path: Path, text: str, why: str) -> None:
    write_heart(tmp_path)
    (tmp_path / "heart" / "processed.va.data").write_text(text)
    with pytest.raises(UserError, match=f"processed.va.data is damaged .*{why}"):
        Heart().read(tmp_path)


def test_heart_refuses_other_numbers_of_classes_and_features() -> None:
    with pytest.raises(UserError, match=r"dataset.classes must be 5 .* or 2 .*, got 3"):
        Heart(classes=3)
    with pytest.raises(UserError, match=r"dataset.features must be 10 .* or 13, got 9"):
        Heart(features=9)


def test_heart_reads_gaps_values_and_hospitals(tmp_path: Path) -> None:
    write_heart(tmp_path)
    arrays = Heart().read(tmp_path)
    table = [row for seed, (_, rows) in enumerate(HEART_ROWS.items()) for row in heart_table(rows, seed)]
    expected = np.array([[np.nan if cell == "?" else float(cell) for cell in row] for row in table])
    np.testing.assert_array_equal(arrays.features, expected[:, :10].astype(np.float32))
    np.testing.assert_array_equal(arrays.labels, expected[:, 13])
    assert arrays.groups is not None
    assert np.bincount(arrays.groups).tolist() == list(HEART_ROWS.values())
    assert arrays.facts.columns[:3] == ("age", "sex", "cp") and "ca" not in arrays.facts.columns


@needs_real_data
def test_the_real_hospitals_have_their_published_sizes_and_gaps() -> None:
    arrays = Heart(features=13).read(REAL_DATA)
    assert arrays.groups is not None
    assert np.bincount(arrays.groups).tolist() == [303, 294, 123, 200]
    assert np.isnan(arrays.features).sum(axis=0)[10:].tolist() == [309, 611, 486]
    assert np.bincount(arrays.labels).tolist() == [411, 265, 109, 107, 28]


def test_where_data_and_cache_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_DATA", str(tmp_path / "shared"))
    assert data_root(str(tmp_path / "own")) == tmp_path / "own"
    assert data_root(None) == tmp_path / "shared"
    monkeypatch.delenv("FEDLAYERS_DATA")
    assert data_root(None) == cache_root() / "data" == tmp_path / "cache" / "data"
    monkeypatch.delenv("FEDLAYERS_CACHE")
    assert cache_root().name == "fedlayers"


def test_an_interrupted_build_leaves_no_folder_and_can_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "made"

    def fails(draft: Path) -> None:
        (draft / "half").touch()
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        build_once(folder, fails)
    assert not folder.exists()
    build_once(folder, lambda draft: (draft / "whole").touch())
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "whole"]
    assert build_once(folder, lambda _: pytest.fail("built a second time")) is None


def test_builders_wait_for_each_other(tmp_path: Path) -> None:
    built = []

    def build(draft: Path) -> None:
        time.sleep(0.05)
        built.append(draft)

    with ThreadPoolExecutor(4) as pool:
        remarks = list(pool.map(lambda _: build_once(tmp_path / "made", build), range(4)))
    assert len(built) == 1 and remarks == [None] * 4 and (tmp_path / "made").is_dir()


def test_a_build_that_another_machine_finished_first_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "made"

    def build(draft: Path) -> None:
        (draft / "mine").touch()
        folder.mkdir()
        (folder / "theirs").touch()
        seal(folder)

    build_once(folder, build)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "theirs"]
