"""What sharing the first layers is worth: the last scores of runs that differ in how many of them are shared."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fedlayers.runs.reading.run_columns import config_of
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.views.values import usable

# Settings, or groups of them, in which runs must be the same to be compared.
_SAME = (
    "dataset", "partition", "model", "objective", "learner", "training", "split", "plant", "clients",
    "examples_per_client", "rounds", "fraction", "weighting",
)  # fmt: skip
SCORES = ("accuracy", "loss")
_FEWEST = 3


def prefix_scores(records: pd.DataFrame, runs: Sequence[Path]) -> pd.DataFrame:
    """Return the last score of each run by how many of the first layers are shared.

    Args:
        records: of these runs.
        runs: their folders, complete.

    Returns:
        A row for each score and run: ``metric, run, seed, shared`` (layers, from 0 to all), ``automatic`` (whether the
        run chose it) and ``value``, the mean over clients on their test examples at the end; of the seeds that every
        number of layers has, and the automatic choice. Empty unless three numbers or more can be compared in runs that
        differ in nothing else.
    """
    final = usable(records[(records["moment"] == "final") & (records["scope"] == "client_test")])
    whole = final[final["layer"].isna() & final["subject"].isna() & final["client"].notna()]
    found: list[dict[str, object]] = []
    settings: list[dict[str, str]] = []
    for run in runs:
        config = config_of(run)
        own = whole[whole["run"] == run.name]
        shared = _shared(run, config, own, records[records["run"] == run.name])
        if shared is None:
            continue
        settings.append({key: str(value) for key, value in config.items() if key.split(".")[0] in _SAME})
        automatic = any(key.startswith("plan.rule.") for key in config)
        for metric in SCORES:
            values = own.loc[own["metric"] == metric, "value"]
            if len(values):
                row = {"metric": metric, "run": run.name, "shared": shared, "automatic": automatic}
                row["seed"] = int(run_facts(run).get("seed") or 0)
                found.append({**row, "value": float(values.mean())})
    table = _of_common_seeds(pd.DataFrame(found, columns=["metric", "run", "seed", "shared", "automatic", "value"]))
    # A run of an older version may lack a setting that came later.
    common = set.intersection(*map(set, settings)) if settings else set()
    alike = all(own[key] == settings[0][key] for own in settings for key in common)
    return table if alike and table["shared"].nunique() >= _FEWEST else table.iloc[:0]


def _of_common_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the seeds that every number of layers has, and the automatic choice if there is one.

    Means over other seeds would be of other data, splits and first weights.
    """
    kinds = table.assign(kind=table["shared"].where(~table["automatic"], -1))
    of_seeds = kinds.groupby(["metric", "seed"])["kind"].transform("nunique")
    return table[of_seeds == kinds.groupby("metric")["kind"].transform("nunique")]


def _shared(run: Path, config: Mapping[str, Any], final: pd.DataFrame, records: pd.DataFrame) -> int | None:
    """Return how many of the first layers a run shares, None if it shares others."""
    facts = run_facts(run)
    layers, name = len(facts.get("layers") or ()), str(facts.get("plan") or "all")
    chosen = records[records["metric"] == "plan_prefix"]
    if any(key.startswith("plan.rule.") for key in config):
        values = chosen["value"][chosen["round"] == chosen["round"].max()].unique()
        return int(values[0]) if len(values) == 1 else None
    if name == "all":
        # Where everything is shared the last model of all is the global one.
        models = set(final["model"].unique())
        return layers if models == {"global"} else 0 if models == {"personal"} else None
    counts = {"prefix": int(config.get("plan.layers", 1)), "head": layers - int(config.get("plan.head_layers", 1))}
    return counts.get(name)
