"""A run's folder: what reaches the disk in which order, and what a crash at any point leaves behind."""

import errno
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from flwr.app import Array, ArrayRecord, RecordDict

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.settings import Config, identity
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors, write_text
from fedlayers.core.records import Pair, Record, to_table
from fedlayers.runs.done import read_done
from fedlayers.runs.folder import RunFolder, run_folder
from fedlayers.runs.integrity import can_go_back, check_intact, problem_of


class Crash(BaseException):
    """Stands for a kill between two operations on the disk."""


@contextmanager
def crash_before(operation: int) -> Iterator[Callable[[], int]]:
    """Die before the n-th operation that changes the disk; yield a function that tells how many there were."""
    counted = itertools.count()
    seen = [0]

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen[0] = next(counted) + 1
            if seen[0] == operation:
                raise Crash
            return original(*args, **kwargs)

        return call

    with (
        mock.patch.object(Path, "replace", wrapped(Path.replace)),
        mock.patch.object(Path, "unlink", wrapped(Path.unlink)),
        mock.patch.object(os, "fsync", wrapped(os.fsync)),
        mock.patch.object(pq, "write_table", wrapped(pq.write_table)),
    ):
        yield lambda: seen[0]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return compose_config([f"results_dir={tmp_path_factory.mktemp('results')}", "seed=3"])


@pytest.fixture
def folder(config: Config, tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.create(config)
    return made


def one_round(folder: RunFolder, server_round: int) -> None:
    """Do what the round loop does in a round: proposals, snapshot, parts, commit."""
    for client in range(2):
        array = Array(np.array([10.0 * client + server_round]))
        folder.states.propose(client, server_round, RecordDict({"model": ArrayRecord({"w": array})}))
    folder.write_snapshot(f"server@{server_round}.safetensors", b"snapshot")
    folder.write_snapshot("best.safetensors", f"best {server_round}".encode())
    folder.kept.write(server_round, "after_local", {"similarity/a": np.array([float(server_round)])})
    rows = [Record("loss", float(server_round), client=client, round=server_round) for client in range(2)]
    folder.write_part(f"round={server_round:06d}", {"records": [to_table("records", rows)], "pairs": []})
    folder.commit_clients(server_round, [0, 1])
    folder.commit(server_round, f"arrays {server_round}".encode(), {"round": server_round})


def one_end(folder: RunFolder, rounds: int) -> None:
    """Do what comes after the last round: the final parts, and the mark that the run has ended."""
    records = to_table("records", [Record("loss", float(rounds), round=rounds, moment="final")])
    pairs = to_table("pairs", [Pair("l2_dst", float(rounds), client=0, other=1, round=rounds, moment="final")])
    folder.write_part("final", {"records": [records], "pairs": [pairs]})
    folder.finish(rounds, 1.0)


def contents(folder: RunFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.path)): path.read_bytes()
        for path in sorted(folder.path.rglob("*"))
        if path.is_file()
    }


def check_consistent(folder: RunFolder, allowed: tuple[int | None, ...]) -> int | None:
    """Check that after rewinding everything in the folder belongs to the last committed round."""
    last = folder.last_round()
    assert last in allowed
    if last is not None:
        assert check_intact(folder.path, last) == []
        assert last == 0 or can_go_back(folder.path, last - 1)
    folder.rewind(last)
    parts = sorted(path.name for path in (folder.path / "records").iterdir())
    assert parts == [f"round={number:06d}.parquet" for number in range(0 if last is None else last + 1)]
    for part in parts:
        assert pq.read_table(folder.path / "records" / part).num_rows == 2
    if last is not None:
        assert folder.checkpoint(last) == (f"arrays {last}".encode(), {"round": last})
        for client in range(2):
            state = folder.states.load(client, last + 1, proposed=True)
            assert state.array_records["model"]["w"].numpy() == [10.0 * client + last]
    return last


def test_a_crash_between_any_two_steps_loses_at_most_its_own_round(config: Config, tmp_path: Path) -> None:
    undisturbed = RunFolder(tmp_path / "undisturbed")
    undisturbed.create(config)
    for server_round in range(3):
        one_round(undisturbed, server_round)
    expected = contents(undisturbed)
    committed: list[int] = []
    for operation in itertools.count(1):
        folder = RunFolder(tmp_path / f"run{operation}")
        folder.create(config)
        for server_round in range(2):
            one_round(folder, server_round)
        try:
            with crash_before(operation):
                one_round(folder, 2)
        except Crash:
            last = check_consistent(RunFolder(folder.path), allowed=(1, 2))
            assert last is not None
            committed.append(last)
            if committed[-1] == 1:
                one_round(folder, 2)
            else:  # only the clearing away of older checkpoints was left
                left = {"state/server@0.json", "state/server@0.safetensors", "state/0@0", "state/1@0"}
                assert set(contents(folder)) - set(expected) <= left
                continue
            assert contents(folder) == expected
        else:
            break
    assert len(committed) > 15
    assert committed == sorted(committed)
    assert {1, 2} == set(committed)


def test_a_crash_in_the_first_round_leaves_nothing_that_counts(config: Config, tmp_path: Path) -> None:
    for operation in itertools.count(1):
        folder = RunFolder(tmp_path / f"run{operation}")
        folder.create(config)
        try:
            with crash_before(operation):
                one_round(folder, 0)
        except Crash:
            check_consistent(folder, allowed=(None, 0))
        else:
            break


def test_a_crash_while_a_later_end_replaces_an_earlier_one_is_mended(config: Config, tmp_path: Path) -> None:
    straight = RunFolder(tmp_path / "straight")
    straight.create(config)
    for server_round in range(3):
        one_round(straight, server_round)
    one_end(straight, 2)
    expected = contents(straight)
    left: list[str] = []
    for operation in itertools.count(1):
        folder = RunFolder(tmp_path / f"run{operation}")
        folder.create(config)
        for server_round in range(3):
            one_round(folder, server_round)
            if server_round == 1:
                one_end(folder, 1)
        old = (folder.path / "done.json").read_bytes()
        try:
            with crash_before(operation):
                one_end(folder, 2)
        except Crash:
            done = read_done(folder.path)
            left.append("none" if done is None else f"after {done.rounds}")
            if done:  # the end that it speaks of is there
                assert (folder.path / "done.json").read_bytes() == old
                assert not [name for name, seal in done.files.items() if problem_of(folder.path / name, [seal])]
            assert check_intact(folder.path, 2) == []
            again = RunFolder(folder.path)
            again.rewind(2)
            one_end(again, 2)
            assert contents(again) == expected
        else:
            break
    assert set(left) == {"after 1", "none"}


def test_the_checkpoint_comes_last(folder: RunFolder) -> None:
    names: list[str] = []
    original = Path.replace

    def noting(self: Path, target: Path) -> Path:
        assert self.name.startswith(".")
        names.append(target.name)
        return original(self, target)

    with mock.patch.object(Path, "replace", noting):
        one_round(folder, 0)
    last = ["round=000000.parquet", "0@0", "1@0", "best.safetensors", "server@0.safetensors", "server@0.json"]
    assert names[-6:] == last


def test_the_last_two_checkpoints_are_kept(folder: RunFolder) -> None:
    for server_round in range(12):
        one_round(folder, server_round)
    names = {path.name for path in (folder.path / "state").glob("server@*")}
    assert names == {f"server@{number}.{kind}" for number in (10, 11) for kind in ("json", "safetensors")}
    assert folder.last_round() == 11


def test_rewind_deletes_exactly_what_is_later(folder: RunFolder) -> None:
    for server_round in range(3):
        one_round(folder, server_round)
    before = set(contents(folder))
    rows = [Record("loss", 1.0)]
    folder.write_part("final", {"records": [to_table("records", rows)], "pairs": []})
    later = ["round=000003", "round=000010", ".round=000001"]
    for table, part in itertools.product(("records", "pairs", "spectra", "resources"), later):
        (folder.path / table / f"{part}.parquet").touch()
    for path in (
        "done.json",
        "state/.0@3",
        "state/0@3",
        "state/server@3.safetensors",
        "snapshots/client1@3.safetensors",
    ):
        (folder.path / path).touch()
    (folder.path / "snapshots" / ".best.safetensors").touch()
    (folder.path / "snapshots" / "best.safetensors").touch()
    folder.rewind(2)
    assert set(contents(folder)) == before | {"snapshots/best.safetensors"}


def test_a_failed_part_is_not_seen(folder: RunFolder) -> None:
    with mock.patch("fedlayers.core.tables.parts.fsync", side_effect=Crash), pytest.raises(Crash):
        folder.write_part("final", {"records": [to_table("records", [Record("loss", 1.0)])]})
    assert [path.name for path in (folder.path / "records").iterdir()] == [".final.parquet"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_text(path, "old")
    with mock.patch.object(os, "fsync", side_effect=Crash), pytest.raises(Crash):
        write_text(path, "new")
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert [item.name for item in tmp_path.iterdir()] == ["run.json"]


def test_the_name_says_what_and_which(config: Config) -> None:
    path = run_folder(config)
    assert re.fullmatch(r"digits-fedavg-s3-[0-9a-f]{10}", path.name)
    assert path.name.endswith(identity(config))
    assert path.parent == Path(config.results_dir) / "main"
    assert not path.exists()


def test_create_is_repeatable_and_keeps_the_configuration(config: Config, folder: RunFolder) -> None:
    before = contents(folder)
    folder.create(config)
    assert contents(folder) == before
    assert {path.name for path in folder.path.iterdir() if path.is_dir()} == {
        *("records", "pairs", "spectra", "resources"),
        *("snapshots", "state", "figures"),
    }


def test_another_configuration_is_refused(folder: RunFolder) -> None:
    with pytest.raises(UserError, match=r"holds another configuration under the same name; .* another study="):
        folder.create(compose_config(["seed=4"]))


def test_set_aside_never_overwrites(config: Config, tmp_path: Path) -> None:
    for number in range(2):
        made = RunFolder(tmp_path / "run")
        made.create(config)
        made.write_facts({"number": number})
        made.set_aside()
        assert not made.path.exists()
    found = [json.loads((tmp_path / ".old" / f"run.{number}" / "run.json").read_text()) for number in range(2)]
    assert found == [{"number": 0}, {"number": 1}]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission is denied"),
    ],
)
def test_disk_errors_name_the_place_and_the_way_on(number: int, reason: str) -> None:
    with (
        pytest.raises(UserError, match=f"cannot write a/part: {reason}; .*results_dir.*every committed round is safe"),
        disk_errors(Path("a")),
    ):
        raise OSError(number, os.strerror(number), "a/part")
    with pytest.raises(UserError, match=f"cannot write a: {reason}"), disk_errors(Path("a")):
        raise OSError(number, os.strerror(number))


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(FileNotFoundError), disk_errors(Path("a")):
        raise FileNotFoundError(errno.ENOENT, "no such file")


def test_a_full_disk_while_writing_is_told_by_every_writer(folder: RunFolder) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch.object(os, "fsync", side_effect=full):
        with pytest.raises(UserError, match="the disk is full"):
            folder.write_facts({})
        with pytest.raises(UserError, match="the disk is full"):
            folder.write_part("final", {"records": [to_table("records", [Record("loss", 1.0)])]})
        with pytest.raises(UserError, match="the disk is full"):
            folder.commit(0, b"", {})


def test_the_state_of_a_client_that_trained_long_ago_is_checked_like_the_others(config: Config, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(config)
    folder.manifest.begin({}, 0)
    for server_round, clients in enumerate(([], [0, 1], [0], [0], [0, 2])):
        if server_round == 3:
            folder = RunFolder(folder.path)  # another process goes on
        for client in clients:
            folder.states.propose(
                client, server_round, RecordDict({"model": ArrayRecord({"w": Array(np.array([float(client)]))})})
            )
        folder.commit_clients(server_round, clients)
        folder.commit(server_round, b"arrays", {})
    names = sorted(path.name for path in (folder.path / "state").iterdir() if not path.name.startswith("server"))
    assert names == ["0@3", "0@4", "1@1", "2@4"]
    assert check_intact(folder.path, 4) == [] and can_go_back(folder.path, 3)
    old = folder.path / "state" / "1@1"
    whole = old.read_bytes()
    old.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"1@1 has another content than was written"):
        check_intact(folder.path, 4)
    old.unlink()
    with pytest.raises(UserError, match=r"1@1 is missing"):
        check_intact(folder.path, 4)
    old.write_bytes(whole)
    (folder.path / "state" / "0@3").unlink()
    assert check_intact(folder.path, 4) == [] and not can_go_back(folder.path, 3)
