"""What the last aggregation of a study found: the next one reads only runs that have changed since.

It is 4 kB a run, in a hidden file beside the tables, and believed only if these are as they were left. Without it all
runs are read, and the tables get the same bytes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import write_text
from fedlayers.core.quantities import Quantities, to_json
from fedlayers.core.seals import digest, is_whole, sealed_json
from fedlayers.runs.quantities import from_json
from fedlayers.runs.reading.run_columns import FlatSettings

# Table of a run -> file of all runs.
TABLES = {"records": "study.parquet", "pairs": "study_pairs.parquet"}
FILE = ".aggregated.json"
_FILES = ("run.json", "done.json", "config.yaml", "manifest.jsonl", "quantities.json", "partition.parquet")

# The first of a run's row groups in a table, and the one behind its last.
Groups = tuple[int, int]


@dataclass(frozen=True)
class CompleteRun:
    """What the tables need of a complete run beside its rows.

    Attributes:
        look: changes with any of its files.
        columns: its facts that are columns.
        config: its settings; those in which runs differ are columns.
        quantities: what it states of what it measured.
        groups: table -> where its rows are in the study's file, if they are there as they are now.
    """

    look: str
    columns: Mapping[str, Any]
    config: FlatSettings
    quantities: Quantities
    groups: Mapping[str, Groups] = field(default_factory=dict)


@dataclass(frozen=True)
class LastAggregation:
    """What the tables of a study were made of.

    Attributes:
        runs: by name, in the order of the tables.
        rows: the number of records.
    """

    runs: Mapping[str, CompleteRun] = field(default_factory=dict)
    rows: int = 0

    def is_of(self, complete: Mapping[Path, CompleteRun]) -> bool:
        """Say whether the tables hold these runs as they are now, and no other ones."""
        return self.runs.keys() == {run.name for run in complete} and all(one.groups for one in complete.values())


def look_of(run: Path) -> str:
    """Return a digest of size, number and times of all files that the tables are made from: none of them is read.

    A file that is replaced has another number (inode), one that is written to another time of change, which no program
    can set.
    """
    return digest("\n".join(_looks(run)).encode())


def _looks(run: Path) -> Iterator[str]:
    for name in _FILES:
        yield f"{name} {_look(run / name)}"
    for table in TABLES:
        with suppress(FileNotFoundError, NotADirectoryError):
            yield from sorted(f"{table}/{part.name} {_look(part)}" for part in (run / table).iterdir())


def _look(file: Path) -> str:
    try:
        found = file.stat()
    except OSError as error:
        return str(error.errno)
    return f"{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def recall(study: Path, made_by: Sequence[str]) -> LastAggregation:
    """Return what the last aggregation found; nothing if its tables, or what it noted, are not as it left them.

    Args:
        study: the study folder.
        made_by: what the bytes of tables depend on beside the runs; nothing is returned if it was another.
    """
    try:
        content = json.loads((study / FILE).read_bytes())
        if not is_whole(content) or content["made_by"] != list(made_by) or content["tables"] != _tables(study):
            return LastAggregation()
        stated = [from_json(text) for text in content["quantities"]]
        runs = {
            name: CompleteRun(
                one["look"],
                one["columns"],
                one["config"],
                stated[one["quantities"]],
                {table: (first, end) for table, (first, end) in one["groups"].items()},
            )
            for name, one in content["runs"].items()
        }
        return LastAggregation(runs, content["rows"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError):
        return LastAggregation()


def remember(study: Path, made_by: Sequence[str], last: LastAggregation) -> None:
    """Write down what the tables, which are in their places, were made of; see :func:`recall`."""
    stated = {name: to_json(one.quantities) for name, one in last.runs.items()}
    texts = list(dict.fromkeys(stated.values()))
    runs = {
        name: {
            "look": one.look,
            "columns": one.columns,
            "config": one.config,
            "quantities": texts.index(stated[name]),
            "groups": one.groups,
        }
        for name, one in last.runs.items()
    }
    tables = {"made_by": list(made_by), "tables": _tables(study), "rows": last.rows}
    write_text(study / FILE, sealed_json({**tables, "quantities": texts, "runs": runs}))


def _tables(study: Path) -> list[str]:
    """Return how the tables look, see :func:`look_of`."""
    return [_look(study / file) for file in TABLES.values()]
