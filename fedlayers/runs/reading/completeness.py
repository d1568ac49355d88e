"""Whether a finished run still has what it wrote, at the cost of a look at every file: nothing large is read."""

from pathlib import Path

from fedlayers.config.schema.settings import digits_of
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import read_json, read_yaml
from fedlayers.core.tables.parts import WRITER
from fedlayers.runs.commits import DamagedError
from fedlayers.runs.damage import WRITTEN_ANEW
from fedlayers.runs.done import read_done
from fedlayers.runs.file_names import SERVER, run_files
from fedlayers.runs.integrity import check_committed, problem_of
from fedlayers.runs.partition_table import check_partition
from fedlayers.runs.quantities import check_quantities
from fedlayers.runs.reading.parts import check_sizes
from fedlayers.runs.reading.run_columns import config_of


def check_finished(run: Path) -> None:
    """Check what a finished run consists of: presence and size of what its manifest lists, the rest by reading it.

    Raises:
        UserError: a file is missing, of another size, or cannot be read; the sentence names it.
    """
    done = read_done(run)
    if done is not None and read_json(run / "run.json", WRITTEN_ANEW).get("written_by") == WRITER:
        _check_parts(run, done.rounds)
        return
    rounds = None if done is None else done.rounds
    if rounds is None:
        # Versions that kept no digests did not say it.
        found = (file.round for file in run_files(run / "state", SERVER) if file.text == "json" and not file.unfinished)
        rounds = max((number for number in found if number is not None), default=None)
    if rounds is None or not (run / "state").is_dir():
        raise DamagedError(run / "state", "holds no checkpoint (server@<round>.json)")
    check_committed(run, rounds)
    for name, seal in (done.files if done else {}).items():
        if what := problem_of(run / name, [seal], contents=False):
            raise DamagedError(run / name, what)
    check_small_files(run)


def _check_parts(run: Path, rounds: int | None) -> None:
    """Check what a training loop of one's own has left: no checkpoint and no configuration, but its parts."""
    check_sizes(run, rounds)
    check_quantities(run)


def check_small_files(run: Path) -> None:
    """Check ``config.yaml``, the partition and the quantities, which a start of the same command writes anew.

    Raises:
        UserError: one of them is missing or cannot be read.
    """
    path = run / "config.yaml"
    if not path.is_file():
        raise DamagedError(path, "is missing", WRITTEN_ANEW.replace("delete it and ", ""))
    config_of(run)
    if not _is_of_its_name(path):
        raise DamagedError(path, "has another content than was written", WRITTEN_ANEW)
    check_partition(run)
    check_quantities(run)


def _is_of_its_name(path: Path) -> bool:
    """Say whether a readable ``config.yaml`` is the one by which ``run.json`` calls the run."""
    named = read_json(path.with_name("run.json"), WRITTEN_ANEW).get("identity")
    if named is None or not path.with_name("manifest.jsonl").exists():
        return True
    return bool(digits_of(read_yaml(path).get("identity")) == named)


def has_small_files(run: Path) -> bool:
    """Say whether :func:`check_small_files` has nothing to tell."""
    try:
        check_small_files(run)
    except UserError:
        return False
    return True
