"""What every tracker is: a folder of its own, rows an epoch, facts about them, and a file with all of it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ClassVar

from fedlayers.core.errors import one_line
from fedlayers.core.json_values import plain
from fedlayers.core.layers import Layer
from fedlayers.core.machine.disk import write_text
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Row
from metrics.tracking import drawing
from metrics.tracking.claims import Share, claim
from metrics.tracking.isolation import tell

# Of the JSON files; a reader may rely on the keys of a version.
JSON_VERSION = 1
_MANAGED: ContextVar[bool] = ContextVar("managed", default=False)


class Tracker:
    """Keeps what was tracked in each epoch and writes it: rows like a run's, one JSON file, figures.

    Args:
        save_dir: the folder for figures and files; it is made when the first one is written.
    """

    facts: ClassVar[tuple[Facts, ...]] = ()
    file: ClassVar[str] = "metrics.json"

    def __init__(self, save_dir: str | Path) -> None:
        if not isinstance(save_dir, str | Path):
            raise ValueError(f"save_dir must be the path of a folder, got {save_dir!r}: give a text or a Path")
        self.problems: list[str] = []
        self.save_dir = Path(save_dir).expanduser()
        self.layers: Sequence[Layer] = ()
        # Whether a manager writes the rows, beside those of other trackers, and has looked at the folder.
        self.is_managed = _MANAGED.get()
        self._rows: dict[int, list[Row]] = {}
        self._claim = None if self.is_managed else claim(self, self.save_dir, self.file)
        if self._claim is not None:
            self.save_dir = self._claim.path
        if not self.is_managed and (problem := unwritable(self.save_dir)):
            tell(self, problem)

    def rows(self, epoch: int) -> list[Row]:
        """Return what was tracked in an epoch."""
        return self._rows.get(epoch, [])

    def get_metrics(self) -> dict[str, Any]:
        """Return everything that was tracked, as the JSON file has it: what is not defined is None."""
        return as_json({**self.content(), "problems": self.problems})

    def content(self) -> dict[str, Any]:
        """Return what was tracked."""
        return {}

    def draw(self) -> dict[str, Callable[[], Any]]:
        """Return file name -> function that makes the figure, for those that can be drawn."""
        return {}

    def save_figures(self) -> list[Path]:
        """Draw and write all figures; one that fails is told and left out."""
        saved = []
        for name, make in self.draw().items():
            try:
                with drawing.look():
                    saved.append(drawing.save(make(), self.save_dir / f"{name}.png"))
            except OSError:
                raise  # the disk is full: the others would fail as well
            except Exception as error:  # each figure by itself
                tell(self, f"the figure {name} could not be drawn ({type(error).__name__}: {one_line(error)})")
        return saved

    def write_all(self) -> list[Path]:
        """Draw all figures, write tables and JSON beside them, and return the figures' files."""
        saved = self.save_figures()
        self.save()
        return saved

    def save(self) -> Path:
        """Write the JSON file and, unless a manager does, the rows, and return where they are."""
        self.save_dir.mkdir(parents=True, exist_ok=True)
        write_json(self.save_dir / self.file, self.get_metrics())
        if not self.is_managed:
            self._claim = self._claim or claim(self, self.save_dir, self.file)
            if self._claim is not None:
                self._claim.save(self.file, Share(self.facts, self.layers, self._rows))
        return self.save_dir


@contextmanager
def managed() -> Iterator[None]:
    """Let trackers that are made in a block of code be a manager's, which answers for their folder."""
    token = _MANAGED.set(True)
    try:
        yield
    finally:
        _MANAGED.reset(token)


def unwritable(folder: Path) -> str | None:
    """Return the sentence that says why nothing can be written to a folder, None if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        why = "a file is in the way" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        return (
            f"save_dir {folder} cannot be written ({why}): nothing of it will be saved, the training goes on; give "
            "another save_dir"
        )
    return None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write what :func:`as_json` returned."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was tracked with its version, as JSON has it."""
    return {"version": JSON_VERSION, **{str(key): plain(value) for key, value in content.items()}}
