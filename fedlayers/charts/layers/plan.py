"""Which layers are shared in which round, and why: the federation plan, and the transition that it was chosen by."""

import numpy as np
import pandas as pd

from fedlayers.charts.charted import Charted, Column
from fedlayers.runs.reading.run_facts import run_facts
from fedlayers.runs.reading.tables import Tables
from fedlayers.views.plans.shared_layers import EVERYBODY, METRIC, shared_layers
from fedlayers.views.plans.transitions import MeasuredTransition, plan_sentences, rises, round_of_choice, transitions

_THRESHOLD = 1.0


def federation_plan(tables: Tables, client: int | None = None) -> Charted:
    """Return which layers are shared in which round.

    Args:
        tables: of a run.
        client: whose plan, where clients have plans of their own; of all together if it has none, or None is given.

    Returns:
        A row per layer and round: ``layer, layer_index, round, shared``: 1 where the layer was sent and averaged, 0
        where it was not, of all clients together the share of those taking part that sent it, NaN in rounds in which
        the client took no part. Without rows where everything is shared in all rounds. Facts: ``of`` (whose plan),
        ``layers, rounds, own`` (the clients with plans of their own) and ``sentences``.
    """
    records, facts = tables.records, run_facts(tables.path)
    plans = shared_layers(records, facts, [] if client is None else [client])
    whose = EVERYBODY if len(plans) < 2 else next(name for name in plans if name != EVERYBODY)
    table = plans.get(whose, pd.DataFrame())
    own = records.loc[records["metric"] == METRIC, "client"].dropna().astype(int)
    layers, rounds = [str(name) for name in table.index], [int(number) for number in table.columns]
    index = {str(layer["name"]): layer.get("index", at) for at, layer in enumerate(facts.get("layers") or ())}
    columns: dict[str, Column] = {
        "layer": list(np.repeat(layers, len(rounds))),
        "layer_index": np.repeat([index[name] for name in layers], len(rounds)).astype(int),
        "round": np.tile(rounds, len(layers)).astype(int),
        "shared": table.to_numpy(float).ravel(),
    }
    said = {
        "of": whose, "layers": layers, "rounds": rounds, "own": sorted(own.unique().tolist()), "label": "shared",
        "sentences": plan_sentences(records), "plan": facts.get("plan"),
    }  # fmt: skip
    return Charted(columns, said)


def layer_transition(tables: Tables) -> Charted:
    """Return how far each layer has risen to the threshold of a transition, of every client and of all together.

    Args:
        tables: of a run.

    Returns:
        The rows of :func:`fedlayers.views.plans.transitions.rises`, with ``place``, the layer's place; without rows
        where the run looked for none. Facts: ``label, round, layers, threshold, measures`` (of each: ``measure, last,
        shared, low, high, sentence``, see :class:`fedlayers.views.plans.transitions.MeasuredTransition`) and
        ``sentences``.
    """
    records = tables.records
    rows = rises(records)
    layers = rows.drop_duplicates("layer_index").sort_values("layer_index")
    place = {int(index): at for at, index in enumerate(layers["layer_index"])}
    found = transitions(records)
    return Charted.of(
        rows.assign(place=rows["layer_index"].map(place).astype(int)),
        {
            "label": "rise to the threshold",
            "round": round_of_choice(records),
            "layers": [str(name) for name in layers["layer"]],
            "threshold": _THRESHOLD,
            "measures": [_told(one) for one in found],
            "sentences": plan_sentences(records),
            "band": "band: interval of the median",
        },
    )


def _told(found: MeasuredTransition) -> dict[str, object]:
    names = ("measure", "last", "shared", "low", "high", "sentence")
    return {name: getattr(found, name) for name in names}
