"""A metric, a distance and a strategy of a user's own, each with a quantity that the package knows nothing of."""

import math

from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record
from metrics.base import ClientView, Measurement, Metric, at, measured
from metrics.distances.families import ModelMetric
from metrics.distances.weights.participant import Model
from strategies.fedavg import FedAvg


class Size(Metric):
    """How large a layer is, in kilobytes."""

    facts = (Facts("layer_size", "kB", 0.0, 900.0, "neutral", "this text"),)

    def client(self, view: ClientView) -> Measurement:
        """Measure every layer."""
        sizes = {layer: sum(view.parameters[name].nbytes for name in layer.names) / 1e3 for layer in view.layers}
        return Measurement([measured("layer_size", size, **at(layer)) for layer, size in sizes.items()])


class Untold(Size):
    """Its facts are no tuple."""

    facts = Facts("layer_size", "kB", 0.0, 900.0, "neutral", "this text")  # type: ignore[assignment]


class Layers(ModelMetric):
    """The difference between the numbers of layers, with a unit."""

    unit, high, reference = "layer", 100.0, "that text"

    def _model_distance(self, a: Model, b: Model) -> float:
        return float(abs(len(a) - len(b)) + 1)


class Telling(FedAvg):
    """Says something of its own in every round."""

    facts = (Facts("patience", "round", 0.0, math.inf, "lower", "none"),)

    def rows(self) -> list[Record]:
        """Return a row of its own."""
        return [Record("patience", 3.0, owner="server")]
