"""The folder of one run: its name, its parts, its checkpoint, and the order in which they reach the disk."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from fedlayers.config.schema.settings import Config, canonical, identity
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors, read_json, read_yaml, write_bytes, write_text
from fedlayers.core.records import SCHEMAS
from fedlayers.core.seals import Seal, digest, seal_of
from fedlayers.core.tables.parts import show_part, write_done, write_unseen
from fedlayers.runs.client_state import StateStore
from fedlayers.runs.commits import Commit, DamagedError, read_commit
from fedlayers.runs.damage import WRITTEN_ANEW
from fedlayers.runs.done import known_end, read_done
from fedlayers.runs.file_names import PART, SERVER, SNAPSHOT, rounds_of, run_files
from fedlayers.runs.integrity import problem_of
from fedlayers.runs.manifest import BEST, Manifest
from fedlayers.runs.metric_memory import MetricMemory

# libyaml writes the same in a tenth of the time.
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def run_folder(config: Config) -> Path:
    """Return where a run's results go: ``results_dir/study/<dataset>-<algorithm>-s<seed>-<ten hex digits>``."""
    name = f"{config.dataset['name']}-{config.algorithm['name']}-s{config.seed}-{identity(config)}"
    return Path(config.results_dir) / config.study / name


class RunFolder:
    """Reads and writes one run's folder.

    The clients' states are renamed first, since the next round starts from them; then the round's parts are written
    under names that start with a dot, fsynced and renamed; then their line in the manifest; the checkpoint, last of
    all, makes the round count. What is later than the checkpoint is deleted on resume, and the states before it are
    still there. ``final`` and ``done.json`` of a finished run stay until those of more rounds replace them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states = StateStore(path / "state")
        self.kept = MetricMemory(path)
        self.manifest = Manifest(path)
        self._best: bytes | None = None
        self._best_seal: Seal | None = None
        self._final: dict[str, Seal] = {}
        # Rounds of which the server's state is there, once it has been looked.
        self._server_rounds: set[int] | None = None

    @property
    def name(self) -> str:
        """The folder's name, which is the run's."""
        return self.path.name

    def create(self, config: Config) -> None:
        """Make the folder, or check that the one that is there belongs to the same configuration.

        Raises:
            UserError: the folder's configuration is another one or cannot be read, or it cannot be written.
        """
        mine = {"identity": canonical(config)}
        existing = self.path / "config.yaml"
        with disk_errors(self.path):
            if existing.exists() and _identity(existing) != json.loads(json.dumps(mine["identity"])):
                raise UserError(
                    f"the folder {self.path} holds another configuration under the same name; move it away or "
                    "choose another study=..."
                )
            for folder in (*SCHEMAS, "snapshots", "state", "figures"):
                _make(self.path / folder)
            if not existing.exists():
                write_text(existing, yaml.dump({**plain(config), **mine}, Dumper=_DUMPER, sort_keys=False))

    def set_aside(self) -> None:
        """Move the folder to ``.old/`` beside it, under a name that is free."""
        old = self.path.parent / ".old"
        old.mkdir(exist_ok=True)
        number = 0
        while (target := old / f"{self.name}.{number}").exists():
            number += 1
        shutil.move(self.path, target)

    def is_complete(self, rounds: int) -> bool:
        """Say whether the run has finished with at least so many rounds, and not gone on since.

        Raises:
            UserError: ``run.json`` cannot be read.
        """
        done = known_end(self.path)
        last = self.last_round()
        return done is not None and bool(self.facts()) and done.covers(max(rounds, last or 0))

    def is_done(self) -> bool:
        """Say whether the run has finished with the rounds that were asked for last."""
        done = read_done(self.path)
        return done is not None and done.covers(self.facts().get("rounds"))

    def facts(self) -> dict[str, Any]:
        """Return run.json, empty if there is none.

        Raises:
            UserError: it cannot be read.
        """
        return read_json(
            self.path / "run.json",
            WRITTEN_ANEW,
        )

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Replace run.json."""
        write_text(self.path / "run.json", json.dumps(facts, indent=1))

    def write_snapshot(self, name: str, data: bytes) -> None:
        """Write a model that is kept, such as ``server@3.safetensors``; the best one is written as its round counts."""
        seal = Seal(len(data), digest(data))
        self.manifest.note(f"snapshots/{name}", seal)
        if f"snapshots/{name}" == BEST:
            self._best, self._best_seal = data, seal
        else:
            write_bytes(self.path / "snapshots" / name, data)

    def write_part(self, part: str, tables: Mapping[str, Sequence[pa.Table]]) -> None:
        """Write one part (``round=000012`` or ``final``) of every table that has rows."""
        written: dict[str, Seal] = {}
        for name, pieces in tables.items():
            if pieces:
                written[f"{name}/{part}.parquet"] = write_unseen(self.path / name, part, pieces)
        if part == "final":
            # It says which parts are the run's last.
            (self.path / "done.json").unlink(missing_ok=True)
            self._final = written
        for path, seal in written.items():
            show_part((self.path / path).parent, part)
            if part != "final":
                self.manifest.note(path, seal)

    def finish(self, rounds: int, wall_s: float) -> None:
        """Mark the run as finished after so many rounds."""
        write_done(self.path, rounds, wall_s, self._final)

    def last_round(self) -> int | None:
        """Return the last committed round, None if there is none."""
        return max(rounds_of(self.path / "state", SERVER).get("json", ()), default=None)

    def commit_clients(self, server_round: int, clients: Sequence[int]) -> None:
        """Make what the clients proposed in a round their states."""
        with disk_errors(self.path / "state"):
            self.states.commit(server_round, clients)

    def commit(self, server_round: int, arrays: bytes, scalars: Mapping[str, Any]) -> None:
        """Make a round count by the server's state; the last two rounds are kept."""
        state = self.path / "state"
        with disk_errors(state):
            files = {f"state/server@{server_round}.safetensors": Seal(len(arrays), digest(arrays))}
            for name, seal in self.states.new_seals().items():
                self.manifest.note(f"state/{name}", seal)
            files |= {f"arrays/{name}": seal for name, seal in self.kept.seals().items()}
            manifest = self.manifest.close_round(server_round)
            files |= self._commit_best()
            write_bytes(state / f"server@{server_round}.safetensors", arrays)
            write_text(state / f"server@{server_round}.json", Commit(scalars, manifest, files).as_text())
            # Until now the round before was the last, and the one before that what it could go back to.
            self._drop_all_but(server_round - 1, server_round)
            self.states.prune()
            self.kept.prune()

    def _drop_all_but(self, *rounds: int) -> None:
        """Delete the server's other states; the folder, which holds the clients' too, is looked at once."""
        if self._server_rounds is None:
            self._server_rounds = {file.round or 0 for file in run_files(self.path / "state", SERVER)}
        for old in self._server_rounds - set(rounds):
            for kind in ("json", "safetensors"):
                (self.path / "state" / f"server@{old}.{kind}").unlink(missing_ok=True)
        self._server_rounds = set(rounds)

    def checkpoint(self, server_round: int) -> tuple[bytes, dict[str, Any]]:
        """Return what :meth:`commit` wrote for a round.

        Raises:
            UserError: it is damaged.
        """
        path = self.path / "state" / f"server@{server_round}.json"
        commit = read_commit(path)
        arrays = path.with_suffix(".safetensors")
        seal = commit.files.get(f"state/{arrays.name}")
        if what := problem_of(arrays, [seal] if seal else []):
            raise DamagedError(arrays, what)
        return arrays.read_bytes(), dict(commit.scalars)

    def rewind(self, server_round: int | None) -> None:
        """Delete what is later than the checkpoint: parts, states, snapshots of unfinished rounds, unfinished files."""
        last = -1 if server_round is None else server_round
        # First what makes rounds count: none may seem to without its files.
        for file in sorted(run_files(self.path / "state", SERVER), key=lambda file: file.text):
            if file.unfinished or (file.round or 0) > last:
                file.path.unlink()
        is_done = self._keep_end(last)
        for table in SCHEMAS:
            for file in run_files(self.path / table, PART):
                if file.unfinished or (not is_done if file.round is None else file.round > last):
                    file.path.unlink()
        for file in run_files(self.path / "snapshots", SNAPSHOT):
            if file.unfinished or (file.round or 0) > last:
                file.path.unlink()
        self.states.rewind(last)
        self.kept.rewind(last)
        commit = None if server_round is None else read_commit(self.path / "state" / f"server@{last}.json")
        self.manifest.cut(commit.manifest.size if commit and commit.manifest else 0)

    def _keep_end(self, last: int) -> bool:
        """Say whether the run had finished by a round; if not, it is no longer said to be."""
        done = known_end(self.path)
        if done is not None and (done.rounds or 0) <= last:
            return True
        (self.path / "done.json").unlink(missing_ok=True)
        return False

    def _commit_best(self) -> dict[str, Seal]:
        """Write the best model if it is this round's, and return its seal."""
        path = self.path / BEST
        if self._best is not None:
            write_bytes(path, self._best)
            self._best = None
        if self._best_seal is None and path.is_file():
            self._best_seal = seal_of(path)
        return {BEST: self._best_seal} if self._best_seal else {}


def _make(folder: Path) -> None:
    """Make a folder of a run unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{folder} must be a folder, but a file is in the way; move it away") from error


def _identity(path: Path) -> Any:
    """Return the identity that a run's config.yaml states."""
    try:
        content = read_yaml(path)
    except (yaml.YAMLError, ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read: {WRITTEN_ANEW}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no configuration: {WRITTEN_ANEW}")
    return content.get("identity")


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
