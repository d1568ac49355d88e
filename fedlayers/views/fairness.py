"""How evenly federations serve their clients, of runs and studies, with the best and the final round marked."""

from dataclasses import replace

import numpy as np
import pandas as pd

from fedlayers.core.records import BEST, SCHEMAS
from fedlayers.runs.damage import readable
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.selection import OF_RUNS
from fedlayers.runs.reading.tables import Tables
from fedlayers.statistics.fairness import fairness


def fairness_of(tables: Tables) -> pd.DataFrame:
    """Return the table that :attr:`fedlayers.commands.reading.Tables.fairness` describes.

    Args:
        tables: of a run or of several.
    """
    directions = {name: facts.direction for name, facts in tables.quantities.items()}
    wanted = (*SCHEMAS["records"].names, *OF_RUNS)
    columns = tuple(
        name for name in wanted if name not in ("owner", "stderr", "n", "chance", "chance_hi", "p", "reason")
    )
    records = replace(tables, selection=replace(tables.selection, columns=columns)).records
    found = fairness(records, directions)
    best = pd.Series(_best(tables), dtype=float)
    in_best = (found["round"] == found["run"].astype(str).map(best)).fillna(False)
    # Where rounds ask some clients, those of the best round say less than all of them at the end.
    on_all = in_best & (found["moment"] == BEST)
    asked = set(zip(found.loc[on_all, "run"], found.loc[on_all, "scope"], strict=True))
    again = pd.Series([own in asked for own in zip(found["run"], found["scope"], strict=True)], found.index, dtype=bool)
    is_best = on_all | (in_best & (found["moment"] == "after_aggregate") & ~again)
    chosen = np.select([is_best, found["moment"] == "final"], ["best", "final"], default="")
    found.insert(list(found.columns).index("clients"), "chosen", chosen)
    return found


def _best(tables: Tables) -> dict[str, int]:
    """Return run -> the round with the lowest validation loss, of runs that say which."""
    facts = readable(run_facts, tables.runs)
    return {run.name: int(own["best"]["round"]) for run, own in facts.items() if own.get("best")}
