"""Which runs are compared with which: settings, algorithms in them, values that were tried, and seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlayers.runs.reading.run_columns import FlatSettings, config_of, fact_columns, full_columns
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.views.run_groups import tell_apart

# What an algorithm is tried with before it is compared: its value is chosen by validation.
TUNED = ("training.lr",)
# What makes up a setting, named by its value alone and in this order.
_SETTING = ("dataset", "partition", "model_name", "clients")
_ALGORITHM = ("algorithm", "plan", "learner.name")
_OF_ALGORITHM = ("algorithm.", "plan.", "learner.")
# What is measured, where, and in how many threads or clients at a time: no part of how good a model gets.
_NO_DIFFERENCE = ("metrics.", "similarity.", "probe.", "snapshots.", "server_test.", "versions.")
_NOTHING = {
    *("seed", "engine", "parameters", "wall_s", "host", "device", "run_status"),
    *("deterministic", "client_threads", "server_threads", "training.cohort", "training.graphs"),
}


@dataclass(frozen=True)
class ComparedRun:
    """Where one run stands in a comparison.

    Attributes:
        run: its folder, which tells it from a run of the same name in another study.
        setting: the name of its setting; see :func:`arranged`.
        algorithm: the name of its algorithm, and of what else tells it from others.
        tried: what it was tried with, such as ``training.lr=0.1``; empty if nothing else was.
        seed: its seed.
    """

    run: str
    setting: str
    algorithm: str
    tried: str
    seed: int


def arranged(runs: Sequence[Path]) -> list[ComparedRun]:
    """Return where each run stands: what it differs in from others makes it another setting, algorithm or trial.

    Entries of ``algorithm``, ``plan`` and ``learner`` tell algorithms apart, ``training.lr`` is something that an
    algorithm was tried with, ``seed`` repeats; all others, such as ``partition.alpha``, ``fraction``, the model or
    the number of rounds, make settings, within which algorithms are compared.

    Args:
        runs: run folders with a readable run.json and config.yaml.
    """
    facts, configs = {run: fact_columns(run_facts(run)) for run in runs}, {run: config_of(run) for run in runs}
    columns = full_columns(facts, configs)
    keys = sorted({key for own in columns.values() for key in own if _counts(key)}, key=_plainest_first)
    settings = [key for key in keys if not _is_of_algorithm(key) and key not in TUNED]
    settings = [*_SETTING, *(key for key in settings if key not in _SETTING)]
    algorithms = ["algorithm", *(key for key in keys if _is_of_algorithm(key) and key != "algorithm")]
    tried = [key for key in keys if key in TUNED]
    of_settings, of_algorithms = (_names(columns, parts) for parts in (settings, algorithms))
    found = []
    for run, own in columns.items():
        trial = ", ".join(f"{key}={own[key]}" for key in tried if own.get(key) is not None)
        found.append(ComparedRun(str(run), of_settings[run], of_algorithms[run], trial, int(own.get("seed") or 0)))
    return found


def _counts(key: str) -> bool:
    return key not in _NOTHING and not key.startswith(_NO_DIFFERENCE)


def _is_of_algorithm(key: str) -> bool:
    return key in _ALGORITHM or key.startswith(_OF_ALGORITHM)


def _plainest_first(key: str) -> tuple[bool, int, str]:
    """Order what something is called before how it is set, algorithm.mu before algorithm.client.mu."""
    return "." in key and not key.endswith(".name"), key.count("."), key


def _names(columns: Mapping[Path, FlatSettings], keys: Sequence[str]) -> dict[Path, str]:
    """Return of each run what tells it from others by some keys, the first one in any case."""
    first = keys[0]
    distinct: dict[tuple[str, ...], FlatSettings] = {}
    of_runs = {}
    for run, own in columns.items():
        of_runs[run] = tuple(repr(own.get(key)) for key in keys)
        distinct.setdefault(of_runs[run], own)
    apart = tell_apart(list(distinct.values()), keys)
    named = {
        values: ", ".join(_words({first: own.get(first)} | told))
        for (values, own), told in zip(distinct.items(), apart, strict=True)
    }
    return {run: named[values] for run, values in of_runs.items()}


def _words(entries: Mapping[str, Any]) -> Iterable[str]:
    """Yield what entries say: a name alone, else key and value."""
    for key, value in entries.items():
        if value is None or value == []:  # a list that nobody asked for says nothing of the algorithm
            continue
        yield str(value) if key in (*_SETTING[:3], "algorithm") else f"{key.removesuffix('.name')}={value}"
