"""``done.json``: that a run is finished, after how many rounds, and what its ``final`` parts are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.core.seals import Seal, seals_from


@dataclass(frozen=True)
class Done:
    """The end of a run.

    Attributes:
        rounds: how many it had; None if that is not said (older versions).
        files: path in the run's folder -> seal of the ``final`` parts.
    """

    rounds: int | None
    files: Mapping[str, Seal]

    def covers(self, rounds: object) -> bool:
        """Say whether the run had as many rounds as were asked for."""
        return self.rounds is None or not isinstance(rounds, int) or self.rounds >= rounds


def read_done(run: Path) -> Done | None:
    """Return what ``done.json`` says, None if there is none.

    Raises:
        UserError: it cannot be read.
    """
    path = run / "done.json"
    try:
        content = json.loads(path.read_bytes())
        rounds = content.get("rounds")
        if not isinstance(rounds, int) and _keeps_digests(run):
            raise ValueError("a run with digests says after how many rounds it ended")
        return Done(rounds if isinstance(rounds, int) else None, seals_from(content.get("files")))
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError, TypeError, OSError) as error:
        raise UserError(
            f"{path} cannot be read: start the same command again, which evaluates the last round anew and writes it"
        ) from error


def _keeps_digests(run: Path) -> bool:
    """Say whether a run has kept digests from its first round: one that an older version finished has not."""
    try:
        with (run / "manifest.jsonl").open("rb") as file:
            return bool(json.loads(file.readline()).get("first") == 0)
    except FileNotFoundError:
        return False


def known_end(run: Path) -> Done | None:
    """Return what ``done.json`` says, None if there is none or it cannot be read: the end is then repeated."""
    try:
        return read_done(run)
    except UserError:
        return None
