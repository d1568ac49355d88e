"""Which figures can be drawn of how clients differ."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from fedlayers.core.quantities import Quantities
from fedlayers.figures.drawing.drawable import Drawing
from fedlayers.figures.heterogeneity.client_disagreement import client_disagreement
from fedlayers.figures.heterogeneity.disagreement_origins import disagreement_origins
from fedlayers.figures.heterogeneity.shift_verdicts import shift_verdicts
from fedlayers.views.heterogeneity.disagreements import METRIC, SPLITS, disagreements, origins
from fedlayers.views.heterogeneity.verdicts import verdicts


def heterogeneity_figures(records: pd.DataFrame, facts: Mapping[str, Any], quantities: Quantities) -> list[Drawing]:
    """Return the figures of a run's disagreement, verdicts and where disagreement comes from; none without rows."""
    found = []
    if METRIC in quantities and not disagreements(records, facts).empty:
        found.append(Drawing(METRIC, partial(client_disagreement, records, facts, quantities), main=True))
    if not verdicts(records, facts).empty:
        found.append(Drawing("shift_verdicts", partial(shift_verdicts, records, facts), main=True))
    if any(by in quantities and not origins(records, facts, by).empty for by in SPLITS):
        make = partial(disagreement_origins, records, facts, quantities)
        found.append(Drawing("disagreement_origins", make, main=True))
    return found
