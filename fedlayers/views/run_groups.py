"""Which runs of a study belong together: those that differ in nothing but their seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from fedlayers.core.errors import UserError
from fedlayers.core.quantities import Quantities
from fedlayers.runs.damage import readable
from fedlayers.runs.quantities import check_quantities, quantities_of
from fedlayers.runs.reading.run_columns import FlatSettings, config_of, fact_columns, full_columns
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.numbered import numbered

# What makes up a setting, in which algorithms can be compared; column -> name in run facts.
_SETTING = {"dataset": "dataset", "partition": "partition", "model_name": "model", "clients": "clients"}
# Columns of a run that are no choice of the user, or none that decides its numbers.
_NO_CHOICE = {"seed", "engine", "parameters", "wall_s", "host", "device", "run_status", "algorithm", *_SETTING}

_NAME = ".name"


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seed.

    Attributes:
        name: the algorithm, and what else tells it from the other groups of its setting.
        runs: the names of the run folders.
    """

    name: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """A data set, partition, model and number of clients, and the groups of runs that can be compared in it.

    Attributes:
        name: what tells it from the other settings of the study; empty if it is the only one.
        facts: ``dataset``, ``partition``, ``model`` and ``clients``, and the ``layers`` of its first run.
        quantities: what is known of what its runs measured.
        groups: by name.
    """

    name: str
    facts: Mapping[str, Any]
    quantities: Quantities
    groups: tuple[Group, ...]

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of its run folders."""
        return tuple(run for group in self.groups for run in group.runs)


def complete_runs(tables: Tables) -> tuple[Path, ...]:
    """Return the runs of a study that are complete and can be read; damaged ones are told.

    Raises:
        UserError: there is none.
    """
    facts = readable(run_facts, tables.runs)
    sound = readable(_checked, [run for run in facts if facts[run]["status"] == "complete"])
    if not sound:
        raise UserError(f"no run of {tables.path} is complete: wait for one, or give the folder of a run")
    return tuple(sound)


def _checked(run: Path) -> None:
    """Raise UserError if what else is needed of a run of a study cannot be read."""
    config_of(run)
    check_quantities(run)


def settings_of(runs: Sequence[Path]) -> list[Setting]:
    """Return the settings of some runs and in each the groups of runs that differ in nothing but their seed.

    Args:
        runs: run folders with a readable run.json and config.yaml.
    """
    known, configs = {run: fact_columns(run_facts(run)) for run in runs}, {run: config_of(run) for run in runs}
    columns: dict[str, dict[str, Any]] = {run.name: dict(own) for run, own in full_columns(known, configs).items()}
    folders = {run.name: run for run in runs}
    layers = {run.name: run_facts(run).get("layers") for run in runs}
    found: dict[tuple[Any, ...], list[str]] = {}
    for run, facts in columns.items():
        found.setdefault(tuple(facts.get(key) for key in _SETTING), []).append(run)
    names = tell_apart([dict(zip(_SETTING, setting, strict=True)) for setting in found], list(_SETTING))
    return [
        Setting(
            "-".join(str(value) for value in name.values()),
            dict(zip(_SETTING.values(), setting, strict=True)) | {"layers": layers[members[0]]},
            quantities_of([folders[run] for run in members]),
            _groups({run: columns[run] for run in members}),
        )
        for (setting, members), name in zip(found.items(), names, strict=True)
    ]


def setting_of(run: Path) -> Setting:
    """Return the setting of a single run, which is all of its group."""
    facts = run_facts(run)
    chosen = {name: facts.get(name) for name in (*_SETTING.values(), "layers")}
    group = Group(str(facts.get("algorithm") or run.name), (run.name,))
    return Setting("", chosen, quantities_of([run]), (group,))


def in_setting(rows: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Return the rows of the runs of a setting."""
    found: pd.DataFrame = rows[rows["run"].isin(setting.runs)]
    return found


def in_groups(rows: pd.DataFrame, groups: Sequence[Group]) -> pd.DataFrame:
    """Return the rows of several runs with the number and the name of their group as ``group`` and ``group_name``."""
    return numbered(rows, [(group.name, rows[rows["run"].isin(group.runs)]) for group in groups], "group")


def _groups(columns: Mapping[str, FlatSettings]) -> tuple[Group, ...]:
    keys = {key for facts in columns.values() for key in facts if not key.startswith("versions.")} - _NO_CHOICE
    # What something is called before how it is set, and the shortest keys first: algorithm.mu rather than
    # algorithm.client.mu, which repeats it.
    ordered = ["algorithm", *sorted(keys, key=lambda key: (not key.endswith(_NAME), key.count("."), key))]
    found: dict[tuple[str, ...], list[str]] = {}
    for run, facts in columns.items():
        found.setdefault(tuple(repr(facts.get(key)) for key in ordered), []).append(run)
    of_groups = [columns[runs[0]] for runs in found.values()]
    groups = []
    for runs, apart in zip(found.values(), tell_apart(of_groups, ordered), strict=True):
        own = columns[runs[0]]
        words = [
            f"{key.removesuffix(_NAME)}={value}"
            for key, value in apart.items()
            if key != "algorithm" and value is not None and value != []
        ]
        groups.append(Group(", ".join([str(own.get("algorithm")), *words]), tuple(runs)))
    return tuple(sorted(groups, key=lambda group: group.name))


def tell_apart(items: Sequence[FlatSettings], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each item the entries that tell it from the others: of the first keys that do so."""
    needed: list[str] = []
    for key in keys:
        if _distinct(items, [*needed, key]) > _distinct(items, needed):
            needed.append(key)
    return [{key: item.get(key) for key in needed} for item in items]


def _distinct(items: Sequence[FlatSettings], keys: Sequence[str]) -> int:
    return len({tuple(repr(item.get(key)) for key in keys) for item in items})
