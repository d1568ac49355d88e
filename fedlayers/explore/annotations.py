"""What people note about a run: kept in its folder, also when two write at once."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import disk_errors, write_text
from fedlayers.explore.mistakes.statuses import NotThere

NAME = "annotations.json"
_MOST, _WAIT_S = 10_000, 4.0
_INT32 = 2**31 - 1


class Note(BaseModel, extra="forbid"):
    """What is noted: a text about examples that somebody selected."""

    text: str = Field(min_length=1, max_length=10_000)
    round: int | None = Field(default=None, ge=0, le=_INT32, description="The round that was looked at.")
    client: int | None = Field(default=None, ge=0, le=_INT32, description="The client whose examples are meant.")
    inputs: str | None = Field(default=None, max_length=100, description="The input set that examples are numbers in.")
    examples: list[int] = Field(default=[], max_length=200_000, description="The examples, by number.")
    view: str | None = Field(default=None, max_length=2_000, description="The address of the view, without the host.")


class Annotation(Note):
    """A note with what tells it from others."""

    id: str = Field(description="Unique within the run.")
    created: datetime


_ALL = TypeAdapter(list[Annotation])


@dataclass(frozen=True)
class Annotations:
    """The annotations of a run.

    Attributes:
        run: its folder.
    """

    run: Path

    def all(self) -> list[Annotation]:
        """Return them, oldest first.

        Raises:
            UserError: the file is damaged.
        """
        path = self.run / NAME
        try:
            return _ALL.validate_json(path.read_bytes())
        except FileNotFoundError:
            return []
        except (ValidationError, OSError) as error:
            what = error.strerror if isinstance(error, OSError) else "it holds no annotations"
            raise UserError(
                f"{NAME} of run {self.run.name} cannot be read ({what}): restore it, or move it away"
            ) from None

    def add(self, note: Note) -> Annotation:
        """Keep a note.

        Raises:
            UserError: the file is damaged, or cannot be written, or there are too many.
        """
        added = Annotation(**note.model_dump(), id=secrets.token_hex(8), created=datetime.now(UTC))
        self._rewrite(lambda known: [*known, added])
        return added

    def delete(self, name: str) -> None:
        """Delete one.

        Raises:
            NotThere: there is none of that id.
            UserError: the file is damaged, or cannot be written.
        """

        def without(known: list[Annotation]) -> list[Annotation]:
            left = [one for one in known if one.id != name]
            if len(left) == len(known):
                raise NotThere(f"run {self.run.name} has no annotation {name!r}: GET its annotations for their ids")
            return left

        self._rewrite(without)

    def _rewrite(self, change: Any) -> None:
        try:
            with disk_errors(self.run, of_a_run=False), FileLock(self.run / f".{NAME}.lock", timeout=_WAIT_S):
                known = change(self.all())
                if len(known) > _MOST:
                    raise UserError(f"run {self.run.name} has {_MOST} annotations, which is the most: delete some")
                write_text(self.run / NAME, json.dumps(_ALL.dump_python(known, mode="json"), indent=1))
        except Timeout:
            raise UserError(f"{NAME} of run {self.run.name} is being written by somebody else: try again") from None
