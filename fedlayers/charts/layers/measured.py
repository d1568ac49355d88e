"""What was measured of a run's layers, and in which rounds: what there is to choose from."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted
from fedlayers.charts.damaged import rows_that_can_be_read
from fedlayers.charts.due import not_yet
from fedlayers.core.records import SCHEMAS
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.chain.questions import QUESTION_OF
from fedlayers.views.chain.readings import question_rows
from fedlayers.views.densities import layer_densities
from fedlayers.views.moments import at_moments
from fedlayers.views.pairs import PROFILED
from fedlayers.views.plans.shared_layers import METRIC as SHARED
from fedlayers.views.plans.shared_layers import shared_layers
from fedlayers.views.plans.transitions import METRICS as OF_TRANSITIONS
from fedlayers.views.plans.transitions import transitions
from fedlayers.views.quantities import axis_label
from fedlayers.views.values import usable

_COLUMNS = ["metric", "label", "table", "direction", "reference"]
_LOOKED_AT = ("metric", "round", "layer", "value", "status")
_OF_PLANS = (SHARED, *OF_TRANSITIONS, *QUESTION_OF)
_WITHOUT_CURVES = tuple(name for name in SCHEMAS["spectra"].names if name not in ("x", "y"))
_SAID = ("name", "index", "kind", "parameters", "shared")


def measured_of_layers(tables: Tables) -> Charted:
    """Return the metrics that have values of single layers.

    Args:
        tables: of a run.

    Returns:
        A row per metric, those of the records first: ``metric, label, table`` (records or pairs), ``direction`` and
        ``reference``. Facts: ``rounds`` (metric -> those in which it has values), ``layers`` (name, index, kind,
        parameters and whether they are shared), ``spectra`` (the layers with densities of eigenvalues), and whether
        there are a ``plan`` with layers that are not shared, a ``transition`` and ``readouts``; ``not_yet``, what a run
        that goes on begins to measure later where it has measured nothing so far, or None; ``damaged``, a sentence for
        each table beside the records that cannot be read.

    Raises:
        UserError: the records cannot be read.
    """
    facts = run_facts(tables.path)
    lines, rounds = [], {}
    damaged: list[str] = []
    for table, rows in _of_layers(tables, damaged):
        for metric, numbers in rounds_by_metric(rows).items():
            quantity = tables.quantities[metric]
            lines.append((metric, axis_label(quantity), table, quantity.direction, quantity.reference))
            rounds[metric] = numbers
    records = tables.some("records", metric=_OF_PLANS)
    densities = (
        layer_densities(rows_that_can_be_read(tables, "spectra", _WITHOUT_CURVES, damaged))
        .drop_duplicates("layer_index")
        .sort_values("layer_index")
    )
    return Charted.of(
        pd.DataFrame(lines, columns=_COLUMNS),
        {
            "rounds": rounds,
            "layers": [{key: layer.get(key) for key in _SAID} for layer in facts.get("layers") or ()],
            "spectra": [str(name) for name in densities["layer"]],
            "plan": bool(shared_layers(records, facts, [])),
            "transition": bool(transitions(records)),
            "readouts": not question_rows(records).empty,
            "not_yet": None if lines else not_yet(tables.path),
            "damaged": damaged,
        },
    )


def rounds_by_metric(rows: pd.DataFrame) -> dict[str, list[int]]:
    """Return of each metric, by name, the rounds in which there are rows, ascending.

    Args:
        rows: with ``metric`` and ``round``, millions perhaps.
    """
    metrics = rows["metric"].astype("category")
    codes, rounds = metrics.cat.codes.to_numpy(np.int64), rows["round"].to_numpy(np.int64)
    names = [str(name) for name in metrics.cat.categories]
    count = int(rounds.max(initial=0)) + 1
    there = np.bincount(codes * count + rounds, minlength=len(names) * count).reshape(-1, count) > 0
    return {names[at]: np.flatnonzero(there[at]).tolist() for at in np.argsort(names) if there[at].any()}


def _of_layers(tables: Tables, damaged: list[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name of a table and its usable rows of layers; which layers are shared has a chart of its own."""
    records = tables.some("records", _LOOKED_AT)
    pairs = rows_that_can_be_read(tables, "pairs", (*_LOOKED_AT, "subject", "step"), damaged)
    yield "records", usable(records[records["layer"].notna() & (records["metric"] != SHARED)])
    yield "pairs", usable(at_moments(pairs[pairs["subject"].isin(list(PROFILED)) & pairs["layer"].notna()]))
