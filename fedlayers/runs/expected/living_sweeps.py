"""Which runs of a study a living process is going to start: a card of every sweep beside the run folders."""

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import make_folder, write_text
from fedlayers.runs.expected.expected_runs import write_expected
from fedlayers.runs.lock import holder_of, lock
from fedlayers.runs.lock_card import Holder

_FOLDER = ".sweeps"


@contextmanager
def sweeping(expected: Mapping[Path, Mapping[str, Sequence[str]]]) -> Iterator[None]:
    """Write down which runs a sweep expects, and for a block of code that this process is at it.

    Args:
        expected: study folder -> run -> arguments.
    """
    with ExitStack() as stack:
        for study, runs in expected.items():
            for left in _cards(study):
                if not _holder_of(left):
                    shutil.rmtree(left, ignore_errors=True)  # of a sweep that was killed
            stack.enter_context(_card(study, list(runs)))
            write_expected(study, runs)
        yield


def awaited(study: Path) -> dict[str, Holder]:
    """Return run -> the living process that has yet to start it, or waits for its job."""
    found: dict[str, Holder] = {}
    for card in _cards(study):
        holder = _holder_of(card)
        try:
            runs = json.loads((card / "runs.json").read_text(encoding="utf-8")) if holder else []
        except (OSError, ValueError):
            continue
        found |= {run: holder for run in runs if holder and isinstance(run, str)}
    return found


@contextmanager
def _card(study: Path, runs: Sequence[str]) -> Iterator[None]:
    folder = study / _FOLDER / uuid.uuid4().hex[:12]
    make_folder(folder)
    try:
        with lock(folder):
            write_text(folder / "runs.json", json.dumps(list(runs)))
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()


def _cards(study: Path) -> list[Path]:
    folder = study / _FOLDER
    return sorted(card.parent for card in folder.glob("*/runs.json"))


def _holder_of(card: Path) -> Holder | None:
    try:
        return holder_of(card)
    except (UserError, OSError):
        return None
