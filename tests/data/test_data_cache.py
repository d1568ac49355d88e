"""The cache of prepared data: damage is found, mended and said before the data is used; changed sources are noticed."""

import errno
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.core.seals import Seal, seal_of
from fedlayers.data import Federation, load_federation, prepare
from fedlayers.data import sealed_folder as sealed
from fedlayers.data.cache import build_once, save_array, save_text
from fedlayers.data.sealed_folder import damage, seal
from tests.support.data_configs import config, write_heart


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sealed, "_compared", {})
    return tmp_path / "cache"


def content(federation: Federation) -> list[torch.Tensor]:
    """Everything a run reads, in a fixed order."""
    parts = [examples for scope in federation.splits.values() for examples in scope]
    return [
        tensor
        for examples in [*parts, federation.server_test]
        for tensor in (*examples.batch(torch.arange(len(examples))), examples.index)
    ]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    """One bit of the last byte, with the old time stamps."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced(path: Path) -> None:
    """By another array of the same size, with the old time stamps and under the same name."""
    stat, array = path.stat(), np.load(path) if path.suffix == ".npy" else None
    other = path.with_name("other")
    np.save(other.open("wb"), array[::-1]) if array is not None else other.write_bytes(bytes(stat.st_size))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)


FILES = (
    "prepared/features.npy",
    "prepared/labels.npy",
    "prepared/groups.npy",
    "prepared/meta.json",
    "prepared/manifest.json",
    "partitions/index.npy",
    "partitions/bounds.npy",
    "partitions/own.npy",
    "partitions/scale.npy",
    "partitions/meta.json",
    "partitions/manifest.json",
)
HARM: tuple[Callable[[Path], None], ...] = (truncated, emptied, flipped, zeroed, a_folder, replaced, Path.unlink)


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_a_damaged_file_is_noticed_mended_and_said(tmp_path: Path, cache: Path, harm: Callable[[Path], None]) -> None:
    write_heart(tmp_path)
    chosen = config("Heart", "natural", data_dir=str(tmp_path))
    first = load_federation(chosen)
    right = [tensor.clone() for tensor in content(first)]
    for name in FILES:
        folder, file = name.split("/")
        (found,) = [path for path in (cache / folder).iterdir() if path.is_dir()]
        harm(found / file)
        again = load_federation(chosen)
        assert all(torch.equal(one, two) for one, two in zip(content(again), right, strict=True)), name
        (note,) = again.notes
        assert str(found) in note and note.endswith(") and has been made again") and file in note
        assert again.digest == first.digest
    assert load_federation(chosen).notes == (), "it is said once"


def test_an_entry_that_is_no_folder_is_replaced(cache: Path) -> None:
    load_federation(config("digits"))
    (found,) = (cache / "prepared").glob("digits-*")
    shutil.rmtree(found)
    found.write_text("in the way")
    assert "was damaged (manifest.json is missing or damaged)" in load_federation(config("digits")).notes[0]


def test_foreign_files_in_an_entry_are_not_read(cache: Path) -> None:
    first = load_federation(config("digits"))
    for folder, names in (("prepared", ["groups"]), ("partitions", ["own", "pooled", "scale", "shift", "wide"])):
        (found,) = [path for path in (cache / folder).iterdir() if path.is_dir()]
        for name in names:
            (found / f"{name}.npy").write_bytes(b"junk")
    again = load_federation(config("digits"))
    assert again.notes == () and again.digest == first.digest


def test_drafts_of_killed_processes_are_removed_after_a_day(tmp_path: Path) -> None:
    for name, age in ((".made.old", 90_000), (".made.young", 0), (".other.old", 90_000)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    build_once(tmp_path / "made", lambda draft: (draft / "whole").touch())
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [".made.young", ".other.old", "made"]


def test_damage_in_a_cache_that_is_only_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sealed_folder(tmp_path)
    (folder / "a").write_text("somE")

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", read_only)
    match = r"written to \(for sealed in it is damaged: a has another content\), got .*\(Read-only file system\); mend"
    with pytest.raises(UserError, match=match):
        build_once(folder, lambda _: None)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 1}', '{"files": {"a": {}}}', '{"files": {"a": 1}}'])
def test_a_damaged_manifest_is_damage(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert damage(tmp_path) == "manifest.json is missing or damaged"


def sealed_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "a").write_text("some")
    seal(folder)
    return folder


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose digests are computed, all of them old enough."""
    calls: list[Path] = []

    def noted(path: Path) -> Seal:
        calls.append(path)
        return seal_of(path)

    monkeypatch.setattr(sealed, "seal_of", noted)
    monkeypatch.setattr(sealed, "SETTLED_NS", -(10**12))
    return calls


def test_digests_are_compared_once_a_boot_and_after_any_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[Path]
) -> None:
    folder = sealed_folder(tmp_path)
    hashed.clear()
    assert damage(folder) is None and len(hashed) == 1
    monkeypatch.setattr(sealed, "_compared", {})  # another process
    assert damage(folder) is None and len(hashed) == 1
    (tmp_path / "boot").write_text("another boot")
    monkeypatch.setattr(sealed, "BOOT_ID", tmp_path / "boot")
    monkeypatch.setattr(sealed, "_compared", {})
    assert damage(folder) is None and len(hashed) == 2
    os.utime(folder / "a")
    assert damage(folder) is None and len(hashed) == 3
    monkeypatch.setattr("platform.node", lambda: "another host")
    monkeypatch.setattr(sealed, "_compared", {})
    assert damage(folder) is None and len(hashed) == 4


def test_without_a_boot_id_and_with_a_damaged_note_digests_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[Path]
) -> None:
    folder = sealed_folder(tmp_path)
    monkeypatch.setattr(sealed, "BOOT_ID", tmp_path / "none")
    hashed.clear()
    assert damage(folder) is None and len(hashed) == 1
    (note,) = folder.glob(".compared-*")
    note.write_text("[]")
    monkeypatch.setattr(sealed, "_compared", {})
    assert damage(folder) is None and len(hashed) == 2


def test_what_was_just_written_is_compared_again(tmp_path: Path) -> None:
    folder = sealed_folder(tmp_path)
    assert damage(folder) is None
    assert not list(folder.glob(".compared-*")), "a file of the same instant may still change without a new time stamp"


def test_a_folder_that_is_only_read_is_compared_once_by_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hashed: list[Path]
) -> None:
    folder = sealed_folder(tmp_path)

    def read_only(*_: object, **__: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", read_only)
    hashed.clear()
    assert damage(folder) is None and damage(folder) is None
    assert len(hashed) == 1


def full(*_: object, **__: object) -> None:
    raise OSError("4096 requested and 100 written")  # NumPy on a full disk


@pytest.mark.parametrize("name", ["numpy.save", "fedlayers.data.cache.seal", "pathlib.Path.mkdir"])
def test_a_full_cache_is_one_sentence_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(name, full)
        with pytest.raises(UserError, match=r"FEDLAYERS_CACHE must name a folder that can be written to, got .*full"):
            load_federation(config("digits"))
    assert not list(cache.glob("prepared/*digits*/*"))
    assert load_federation(config("digits")).notes == ()


def test_texts_and_arrays_of_a_full_cache(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"FEDLAYERS_CACHE must name a folder .*No such file"):
        save_text(tmp_path / "none" / "a", "")
    with pytest.raises(UserError, match=r"FEDLAYERS_CACHE must name a folder .*No such file"):
        save_array(tmp_path / "none" / "a", np.zeros(1))


def test_a_folder_that_cannot_be_replaced_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match=r"FEDLAYERS_CACHE must name .*\(Permission denied\)"):
        build_once(tmp_path / "made", lambda draft: (draft / "whole").touch())


@pytest.mark.parametrize("keep_times", [False, True])
def test_the_same_path_with_other_content_is_prepared_again(tmp_path: Path, keep_times: bool) -> None:
    write_heart(tmp_path)
    chosen = config("Heart", "natural", data_dir=str(tmp_path))
    before = load_federation(chosen)
    path = tmp_path / "heart" / "processed.va.data"
    stat, lines = path.stat(), path.read_text().splitlines()
    path.write_text("\n".join([*lines[1:], lines[0]]) + "\n")
    if keep_times:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    after = load_federation(chosen)
    assert not torch.equal(before.server_test.labels, after.server_test.labels)
    assert before.digest != after.digest


def test_a_source_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fedlayers.data.sets.heart import Heart

    write_heart(tmp_path)
    path, read = tmp_path / "heart" / "processed.va.data", Heart.read

    def changes(self: Heart, root: Path) -> object:
        arrays = read(self, root)
        path.write_text(path.read_text() + "\n")
        return arrays

    monkeypatch.setattr(Heart, "read", changes)
    with pytest.raises(UserError, match="dataset: the files of Heart must not change while they are read; start again"):
        load_federation(config("Heart", "natural", data_dir=str(tmp_path)))


def test_a_source_that_cannot_be_read_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/images.bin")

    monkeypatch.setattr("fedlayers.data.sets.digits.Digits.read", denied)
    with pytest.raises(UserError, match=r"dataset: /data/images.bin cannot be read \(Permission denied\); mend or"):
        load_federation(config("digits"))


def test_a_data_set_whose_code_changed_is_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import numpy as np\n"
        "from fedlayers.data.source import Arrays, DatasetFacts\n"
        "class Own:\n"
        "    def files(self, root): return ()\n"
        "    def read(self, root):\n"
        "        x = np.arange(60, dtype=np.float32).reshape(20, 3)\n"
        "        return Arrays(x, np.arange(20) % 2, DatasetFacts(('a', 'b')))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = {"_target_": "own_set_that_changes.Own", "name": "own"}
    chosen = replace(config("digits"), dataset=own, clients=2)
    (tmp_path / "own_set_that_changes.py").write_text(code)
    first = load_federation(chosen)
    (tmp_path / "own_set_that_changes.py").write_text(code.replace("% 2", "// 10 "))
    monkeypatch.delitem(sys.modules, "own_set_that_changes")  # as another process has it
    importlib.invalidate_caches()
    second = load_federation(chosen)
    assert first.digest != second.digest


def test_a_data_set_of_a_notebook_is_told_by_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    namespace: dict[str, type] = {}
    exec("class First: ...\nclass Second: ...", {"__name__": "no_such_module"}, namespace)
    sources = {"First": "class First: ...", "Second": "class Second: ..."}
    keys = [prepare._code(kind()) for kind in namespace.values()]  # without any source
    assert keys[0] != keys[1]
    monkeypatch.setattr("inspect.getsource", lambda kind: sources[kind.__name__])
    told = [prepare._code(kind()) for kind in namespace.values()]
    assert len({*keys, *told}) == 4 and told == [prepare._code(kind()) for kind in namespace.values()]


def test_the_digest_names_content_and_not_where_it_came_from(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_heart(tmp_path / folder)
    digests = [
        load_federation(config("Heart", "natural", data_dir=str(tmp_path / folder))).digest for folder in ("one", "two")
    ]
    assert digests[0] == digests[1] and len(digests[0]) == 32
    base = config("Heart", "natural", data_dir=str(tmp_path / "one"))
    others = [
        replace(base, seed=1),
        replace(base, clients=3),
        replace(base, dataset={**base.dataset, "classes": 2}),
        replace(base, dataset={**base.dataset, "features": 13}),
    ]
    assert len({digests[0], *(load_federation(other).digest for other in others)}) == 5


def test_the_digest_is_the_prepared_content(cache: Path) -> None:
    import hashlib

    federation = load_federation(config("digits"))
    (found,) = (cache / "prepared").glob("digits-*")
    meta = json.loads((found / "meta.json").read_text())
    facts = {key: value for key, value in meta["facts"].items() if key not in ("no_groups", "notes")}
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in ("features", "labels"):
        array = np.load(found / f"{name}.npy")
        total.update(f"{name} {array.dtype.str} {array.shape}".encode() + array.tobytes())
    assert meta["digest"] == total.hexdigest()[:32] != federation.digest
