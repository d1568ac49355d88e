"""What the rounds of a run consist of: ``manifest.jsonl``, a line a round with the seal of every file it wrote.

A line is added before the checkpoint makes its round count, and the checkpoint holds the seal of all lines up to its
own: what follows belongs to a round that a kill cut short, and is cut off on resume. Of a client's states the last one
counts. Files that are replaced as the run goes on (the server's state, kept arrays, the best model) stand in the
checkpoint instead.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fedlayers.core.machine.disk import disk_errors, write_text
from fedlayers.core.seals import Seal, Sealing, digest, seals_from
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.done import read_done

BEST = "snapshots/best.safetensors"


class Manifest:
    """Reads and writes the manifest of one run.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.path = run / "manifest.jsonl"
        self._noted: dict[str, Seal] = {}
        # Of all lines so far, once the first one is to be written.
        self._lines: Sealing | None = None

    def begin(self, sources: Mapping[str, Any], first: int) -> None:
        """Start a manifest, with what the run's numbers come from and its first round, unless there is one."""
        if not self.path.exists():
            write_text(self.path, json.dumps({"first": first, "sources": dict(sources)}) + "\n")

    def sources(self) -> dict[str, Any]:
        """Return what the run's numbers come from (``data``, ``init``), empty for runs of older versions.

        Raises:
            UserError: the first line cannot be read.
        """
        return dict(self._first_line().get("sources", {}))

    def starts_after(self, server_round: int) -> bool:
        """Say whether a round is of a version that kept no manifest.

        Raises:
            UserError: the first line cannot be read.
        """
        return not self.path.exists() or int(self._first_line().get("first", 0)) > server_round

    def note(self, name: str, seal: Seal) -> None:
        """Remember a file of the coming line; ``name`` is its path in the run's folder."""
        self._noted[name] = seal

    def _first_line(self) -> dict[str, Any]:
        try:
            with self.path.open("rb") as file:
                first = json.loads(file.readline())
            return dict(first)
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, OSError) as error:
            raise DamagedError(self.path, "is damaged (its first line cannot be read)") from error

    def close_round(self, server_round: int) -> Seal:
        """Write the line of a round and return the seal of all lines."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if self._lines is None or size != self._lines.seal.size:
            self._lines = Sealing(self.path.read_bytes() if size else b"")
        noted, self._noted = dict(sorted(self._noted.items())), {}
        line = json.dumps({"round": server_round, "files": noted}).encode() + b"\n"
        with disk_errors(self.path), self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._lines.add(line)
        return self._lines.seal

    def cut(self, size: int) -> None:
        """Forget the lines behind the first ``size`` bytes; 0 forgets the manifest."""
        self._lines, self._noted = None, {}
        if size == 0:
            self.path.unlink(missing_ok=True)
        elif self.path.exists() and self.path.stat().st_size > size:
            os.truncate(self.path, size)

    def problem(self, seal: Seal) -> str | None:
        """Return what is wrong with the lines that must have a seal, None if nothing is."""
        try:
            data = self.path.read_bytes()[: seal.size]
        except FileNotFoundError:
            return "is missing"
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        if len(data) < seal.size:
            return f"has {len(data):,} bytes instead of {seal.size:,}"
        return None if digest(data) == seal.digest else "has another content than was written"

    def rounds(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, dict[str, Seal]]]:
        """Yield the rounds and their files of the lines between two bytes; a line that was cut short ends it."""
        data = self.path.read_bytes()[first:last] if self.path.exists() else b""
        for line in data.split(b"\n"):
            try:
                content = json.loads(line)
                if "round" in content:
                    yield int(content["round"]), seals_from(content["files"])
            except (ValueError, TypeError, KeyError):
                return


def expected_parts(run: Path, tables: Iterable[str], committed: int | None) -> dict[str, Seal]:
    """Return path in the run's folder -> seal of tables' parts up to a round, and of ``final``.

    It is empty for runs of older versions.

    Raises:
        UserError: the manifest is missing or ends before that round, or ``done.json`` cannot be read.
    """
    manifest, done, inside = Manifest(run), read_done(run), tuple(f"{table}/" for table in tables)
    own = done.files if done else {}
    if own and not manifest.path.exists():
        raise DamagedError(manifest.path, "is missing")
    parts: dict[str, Seal] = {}
    last = None
    for number, files in manifest.rounds():
        if committed is not None and number <= committed:
            last = number
            parts |= {name: seal for name, seal in files.items() if name.startswith(inside)}
    if committed is not None and last != committed and not manifest.starts_after(committed):
        raise DamagedError(manifest.path, f"is damaged (it ends before round {committed})")
    return parts | {name: seal for name, seal in own.items() if name.startswith(inside)}
