"""The file that makes a round count, ``state/server@<round>.json``: what it holds, and how it shows damage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.core.seals import Seal, is_whole, sealed_json, seals_from


class DamagedError(UserError):
    """A file of a run is not as it was written.

    Args:
        path: the file.
        what: what is wrong with it, to follow its name in a sentence.
        way_on: what to do.
    """

    def __init__(
        self, path: Path, what: str, way_on: str = "restore it from a copy, or start its run anew with force=true"
    ) -> None:
        super().__init__(f"{path} {what}: {way_on}")
        self.path = path
        self.what = what


@dataclass(frozen=True)
class Commit:
    """What makes a round count.

    Attributes:
        scalars: the server's state, beside the arrays in the file of the same name.
        manifest: seal of the manifest up to this round; None if the round was written by a version without one.
        files: path in the run's folder -> seal of what the next round starts from.
    """

    scalars: Mapping[str, Any]
    manifest: Seal | None
    files: Mapping[str, Seal]

    def as_text(self) -> str:
        """Return the file's content."""
        return sealed_json({"checkpoint": self.scalars, "manifest": self.manifest, "files": self.files})


def read_commit(path: Path) -> Commit:
    """Return what a file of :meth:`Commit.as_text` says.

    Raises:
        DamagedError: it is missing, or not as it was written.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DamagedError(path, "is missing") from None
    except (ValueError, OSError) as error:
        raise DamagedError(path, f"cannot be read ({_cause(error)})") from error
    if not isinstance(content, dict):
        raise DamagedError(path, f"holds no object but a {type(content).__name__}")
    if not {"checkpoint", "manifest", "digest"} & content.keys():
        return Commit(content, None, {})
    if not is_whole(content):
        raise DamagedError(path, "has another content than was written")
    return Commit(content["checkpoint"], Seal(*content["manifest"]), seals_from(content["files"]))


def _cause(error: Exception) -> str:
    return error.strerror or "no reason given" if isinstance(error, OSError) else "it is no JSON"
