"""A metric of one's own.

How concentrated is a layer's weight? The share of its weights, largest first, that holds half of its squared norm:
near 0 if a few weights do the work, 0.5 if all are equal. One class says how the quantity is read and how it is
computed. Schedule, tables, figures and report come with it.
"""

import math

import fedlayers
from fedlayers.core.layers import Layer
from fedlayers.core.records import Record
from metrics import Facts, Measurement, Metric, at, measured
from metrics.base import ClientView


class HalfNorm(Metric):
    """The smallest share of a layer's weights with Σ w² of at least `part` of the layer's.

    Args:
        part: of the squared norm, in (0, 1).
        rounds, moments: see :class:`metrics.base.Metric`.
    """

    facts = (Facts("half_norm_share", "1", 0.0, 1.0, "neutral", "own definition"),)

    def __init__(self, part: float = 0.5, **schedule: object) -> None:
        super().__init__(**schedule)  # type: ignore[arg-type]
        self.part = part

    def client(self, view: ClientView) -> Measurement:
        """Measure every layer of one client's model; a missing value says why it is missing."""
        return Measurement([self._of_layer(view, layer) for layer in view.layers])

    def _of_layer(self, view: ClientView, layer: Layer) -> Record:
        weights = [view.parameters[name] for name in layer.names if view.parameters[name].ndim > 1]
        if not weights:
            return measured("half_norm_share", math.nan, reason="no weight matrix", **at(layer))
        squares = weights[0].flatten().double().square().sort(descending=True).values.cumsum(0)
        count = int((squares < self.part * squares[-1]).sum()) + 1
        return measured("half_norm_share", count / len(squares), **at(layer))


if __name__ == "__main__":
    tables = fedlayers.run(
        ["+metrics.half._target_=own_metric.HalfNorm", "+metrics.half.part=0.5", "+metrics.half.rounds=[all]"],
        study="own_metric",
        clients=3,
        rounds=3,
        metrics=["evaluation"],
        figures=False,
    )
    rows = tables.records[tables.records["metric"] == "half_norm_share"]
    print(rows.groupby(["layer", "round"], observed=True)["value"].mean().unstack("round").round(3).to_string())
