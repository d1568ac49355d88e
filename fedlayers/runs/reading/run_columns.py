"""Run facts as table columns, so that records of several runs can stand in one table."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fedlayers.config.schema.old_names import in_new_words
from fedlayers.config.schema.settings import NOT_IDENTITY
from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import read_yaml
from fedlayers.core.records import SCHEMAS
from fedlayers.runs.damage import WRITTEN_ANEW, guarded
from fedlayers.runs.reading.run_facts import run_facts

# What identifies a run among others -> its column in tables of several runs. The model's name needs another
# column: "model" of a record is global or personal.
FACT_COLUMNS: Mapping[str, str] = {
    "dataset": "dataset",
    "partition": "partition",
    "model": "model_name",
    "algorithm": "algorithm",
    "objective": "objective",
    "plan": "plan",
    "seed": "seed",
}
# What runs had that say nothing about it, since there was no choice yet.
_BEFORE_THE_CHOICE: Mapping[str, str] = {"objective": "cross_entropy", "plan": "all"}

_TARGET = "._target_"

FactColumns = Mapping[Path, Mapping[str, Any]]
FlatSettings = Mapping[str, Any]


def short_column(run: Path) -> dict[str, Any]:
    """Return the facts that identify a run: data set, partition, model, algorithm, objective, plan and seed."""
    return _short(run_facts(run))


def _short(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {column: facts.get(key, _BEFORE_THE_CHOICE.get(key)) for key, column in FACT_COLUMNS.items()}


def full_columns(facts: FactColumns, configs: Mapping[Path, FlatSettings]) -> FactColumns:
    """Return for each run its facts and, by dotted key, the configuration entries in which they differ.

    What implements a group (``_target_``) is one where its name does not say it: two models called custom.

    Args:
        facts: of each run, see :func:`fact_columns`.
        configs: of the same runs.
    """
    runs = list(configs)
    columns = {run: dict(facts[run]) for run in runs}
    known = [config for config in configs.values() if config]
    for key in sorted({key for config in known for key in config}):
        if key.endswith(_TARGET) and _is_told(key, facts, configs):
            continue
        # As text, 1 differs from True and from "1".
        if len({json.dumps(config.get(key)) for config in known}) > 1 and key not in columns[runs[0]]:
            for run in runs:
                columns[run][key] = configs[run].get(key)
    return columns


def _is_told(target: str, facts: FactColumns, configs: Mapping[Path, FlatSettings]) -> bool:
    """Say whether runs in which a group has one name have one implementation of it, too."""
    group = target.partition(".")[0]
    found: dict[str, set[Any]] = {}
    for run, config in ((run, config) for run, config in configs.items() if target in config):
        name = facts[run].get(FACT_COLUMNS.get(group, ""), config.get(f"{group}.name"))
        found.setdefault(str(name), set()).add(config.get(target))
    return all(len(targets) == 1 for targets in found.values())


def types_of(columns: FactColumns) -> dict[str, pa.DataType]:
    """Return for each column the narrowest type that holds all runs' values."""
    names = dict.fromkeys(name for facts in columns.values() for name in facts)
    return {name: _type(facts.get(name) for facts in columns.values()) for name in names}


def with_columns(table: pa.Table, facts: Mapping[str, Any], types: Mapping[str, pa.DataType]) -> pa.Table:
    """Return the table with a constant column per entry of ``types``, null where ``facts`` has no value."""
    for name, kind in types.items():
        table = table.append_column(name, constant(facts.get(name), kind, table.num_rows))
    return table


def in_full(table: pa.Table, name: str) -> pa.Table:
    """Return a study's table with null columns in place of those of a schema that it was written without."""
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    schema = SCHEMAS[name]
    absent = {field.name: pa.nulls(table.num_rows, field.type) for field in schema if field.name not in columns}
    if not absent:
        return table
    order = [*schema.names, *(column for column in columns if column not in schema.names)]
    return pa.table({column: columns.get(column, absent.get(column)) for column in order})


def constant(value: Any, kind: pa.DataType, length: int) -> pa.Array:
    """Return a column of one value: a number, a text as a dictionary, or null."""
    if value is None:
        return pa.nulls(length, kind)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(length, np.int32)), pa.array([str(value)]))
    return pa.repeat(pa.scalar(value, kind), length)


def fact_columns(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a run's facts that become columns; a run that moved between hosts lists them all."""
    stretches = facts.get("stretches") or []
    packages = sorted({name for stretch in stretches for name in stretch.get("versions") or {}})
    chosen = _short(facts)
    chosen |= {key: facts.get(key) for key in ("engine", "clients", "rounds", "parameters", "wall_s")}
    chosen |= {key: _joined(stretch.get(key) for stretch in stretches) for key in ("host", "device")}
    versions = {name: _joined((stretch.get("versions") or {}).get(name) for stretch in stretches) for name in packages}
    return chosen | {"run_status": facts["status"]} | {f"versions.{name}": text for name, text in versions.items()}


def _joined(values: Iterable[Any]) -> str | None:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or None


def config_of(run: Path) -> FlatSettings:
    """Return dotted key -> value of what decides a run's numbers, without names that are facts anyway."""
    file = run / "config.yaml"
    if not file.is_file():
        return {}
    plain = guarded(read_yaml, file, WRITTEN_ANEW)
    if not isinstance(plain, dict) or not plain:
        raise UserError(f"{file} holds no configuration: {WRITTEN_ANEW}")
    # "identity" repeats what the run's name was made of.
    flat = in_new_words(_flat({key: value for key, value in plain.items() if key not in NOT_IDENTITY | {"identity"}}))
    names = {f"{group}.name" for group in FACT_COLUMNS}
    return {key: value for key, value in flat.items() if key not in names}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list | dict) else value
    return flat


def _type(values: Iterable[Any]) -> pa.DataType:
    """Return the narrowest Arrow type that holds all values: bool, int64, float64 or text."""
    kinds = {type(value) for value in values if value is not None}
    for allowed, kind in (({bool}, pa.bool_()), ({int}, pa.int64()), ({int, float}, pa.float64())):
        if kinds and kinds <= allowed:
            return kind
    return pa.dictionary(pa.int32(), pa.string())
