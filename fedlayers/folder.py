"""The folder of one run: its name, its parts, its checkpoint, and the order in which they reach the disk."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fedlayers.config import Config, canonical, identity
from fedlayers.disk import disk_errors, fsync, read_json, write_bytes, write_text
from fedlayers.errors import UserError
from fedlayers.kept import Kept
from fedlayers.records import SCHEMAS, sort, typed_for_pandas
from fedlayers.state import StateStore


def run_folder(config: Config) -> Path:
    """Return where a run's results go: ``results_dir/study/<dataset>-<algorithm>-s<seed>-<ten hex digits>``."""
    name = f"{config.dataset['name']}-{config.algorithm['name']}-s{config.seed}-{identity(config)}"
    return Path(config.results_dir) / config.study / name


class RunFolder:
    """Reads and writes one run's folder.

    The clients' states are renamed first, since the next round starts from them; then the round's parts are written
    under names that start with a dot, fsynced and renamed; the checkpoint, last of all, makes the round count. What is
    later than the checkpoint is deleted on resume, and the states before it are still there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states = StateStore(path / "state")
        self.kept = Kept(path)

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""
        return self.path.name

    def create(self, config: Config) -> None:
        """Make the folder, or check that the one that is there belongs to the same configuration.

        Raises:
            UserError: the folder's configuration is another one, or it cannot be written.
        """
        mine = {"identity": canonical(config)}
        existing = self.path / "config.yaml"
        with disk_errors(self.path):
            if existing.exists():
                found = yaml.safe_load(existing.read_text()) or {}
                if found.get("identity") != json.loads(json.dumps(mine["identity"])):
                    raise UserError(
                        f"the folder {self.path} holds another configuration under the same name; move it away or "
                        "choose another study=..."
                    )
                return
            for table in SCHEMAS:
                (self.path / table).mkdir(parents=True, exist_ok=True)
            for folder in ("snapshots", "state", "figures"):
                (self.path / folder).mkdir(exist_ok=True)
            write_text(existing, yaml.safe_dump({**plain(config), **mine}, sort_keys=False))

    def set_aside(self) -> None:
        """Move the folder to ``.old/`` beside it, under a name that is free."""
        old = self.path.parent / ".old"
        old.mkdir(exist_ok=True)
        number = 0
        while (target := old / f"{self.name}.{number}").exists():
            number += 1
        shutil.move(self.path, target)

    def is_done(self) -> bool:
        """Say whether the run has finished."""
        return (self.path / "done.json").exists()

    def facts(self) -> dict[str, Any]:
        """Return run.json, empty if there is none."""
        return read_json(self.path / "run.json")

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json."""
        write_text(self.path / "run.json", json.dumps(facts, indent=1))

    def write_part(self, part: str, tables: Mapping[str, Sequence[pa.Table]]) -> None:
        """Write one part (``round=000012`` or ``final``) of every table that has rows."""
        for name, pieces in tables.items():
            if not pieces:
                continue
            table = typed_for_pandas(sort(name, pa.concat_tables(pieces)))
            folder = self.path / name
            scratch = folder / f".{part}.parquet"
            with disk_errors(folder):
                pq.write_table(table, scratch, compression="zstd")
                fsync(scratch)
                scratch.replace(folder / f"{part}.parquet")

    def last_round(self) -> int | None:
        """Return the last committed round, None if there is none."""
        rounds = sorted(_round(path) for path in (self.path / "state").glob("server@*.json"))
        return rounds[-1] if rounds else None

    def commit_clients(self, server_round: int, clients: Sequence[int]) -> None:
        """Make what the clients proposed in a round their states."""
        with disk_errors(self.path / "state"):
            self.states.commit(server_round, clients)

    def commit(self, server_round: int, arrays: bytes, scalars: Mapping[str, Any]) -> None:
        """Make a round count by the server's state; the last two rounds are kept."""
        state = self.path / "state"
        with disk_errors(state):
            write_bytes(state / f"server@{server_round}.safetensors", arrays)
            write_text(state / f"server@{server_round}.json", json.dumps(scalars))
            for path in state.glob("server@*"):
                if _round(path) < server_round - 1:
                    path.unlink()

    def checkpoint(self, server_round: int) -> tuple[bytes, dict[str, Any]]:
        """Return what :meth:`commit` wrote for a round."""
        state = self.path / "state"
        return (state / f"server@{server_round}.safetensors").read_bytes(), read_json(
            state / f"server@{server_round}.json"
        )

    def rewind(self, server_round: int | None) -> None:
        """Delete what is later than the checkpoint: parts, states, snapshots of unfinished rounds, unfinished files."""
        last = -1 if server_round is None else server_round
        for table in SCHEMAS:
            for path in (self.path / table).glob("*"):
                if path.name.startswith(".") or path.stem == "final" or int(path.stem.removeprefix("round=")) > last:
                    path.unlink()
        for path in (self.path / "snapshots").glob("*"):
            if path.name.startswith(".") or ("@" in path.name and _round(path) > last):
                path.unlink()
        self.states.rewind(last)
        self.kept.rewind(last)
        (self.path / "done.json").unlink(missing_ok=True)


def _round(path: Path) -> int:
    return int(path.name.split("@")[1].split(".")[0])


def plain(config: Config) -> dict[str, Any]:
    """Return the configuration as plain dictionaries and lists."""
    return asdict(config)


@contextmanager
def no_empty_folders(folder: Path) -> Iterator[None]:
    """Remove the folder and its parents afterwards if they are new and stayed empty: a mistake leaves nothing."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for path in new:
                path.rmdir()
