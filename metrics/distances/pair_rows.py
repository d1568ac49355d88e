"""Rows of ``pairs/`` from the matrices of one distance."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from fedlayers.core.layers import Layer
from fedlayers.core.records import Pair
from metrics.base import at
from metrics.distances.families import ClientMatrixMetric, LayerMatrixMetric
from metrics.distances.families.aggregation import AGGREGATIONS
from metrics.distances.names import parse_name
from metrics.distances.participants import Owner, Participants, Reasons
from metrics.distances.weights.participant import Model


@dataclass(frozen=True)
class Naming:
    """What the rows of one distance are called.

    Attributes:
        quantity: the column ``metric``.
        steps: what a name puts before it but aggregation.
        whole: ``variant`` of distances between whole models.
        by_layer: ``variant`` of distances between layers; both end in estimator and ``positions``, if there are any.
    """

    quantity: str
    steps: str
    whole: str
    by_layer: str

    @classmethod
    def of(cls, name: str, metric: ClientMatrixMetric, positions: str | None = None) -> "Naming":
        """Return what the rows of a metric of a name are called.

        Args:
            name: see :mod:`metrics.distances.names`.
            metric: the metric of that name.
            positions: of representations, see :func:`metrics.probe.activations.layer_outputs`.
        """
        parsed = parse_name(name)
        steps = "-".join(str(one) for one in parsed.arguments if one.head not in AGGREGATIONS)
        heads = [str(one) for one in parsed.arguments]
        if isinstance(metric, LayerMatrixMetric) and not any(one.head in AGGREGATIONS for one in parsed.arguments):
            heads.append(metric.aggregation)
        whole, by_layer = (
            ", ".join(filter(None, (variant, metric.variant, positions))) for variant in ("-".join(heads), steps)
        )
        return cls(metric.quantity, steps, whole, by_layer)


@dataclass(frozen=True)
class PairRows:
    """Makes rows of one distance in one round.

    Attributes:
        naming: what they are called.
        participants: what the distances are between.
        layers: the model's layers.
        round: the round.
    """

    naming: Naming
    participants: Participants
    layers: Sequence[Layer]
    round: int

    def of_table(
        self, table: np.ndarray, symmetric: bool, relations: Collection[str], layer: str | None, reasons: Reasons
    ) -> list[Pair]:
        """Return the rows of every pair of clients, or of one triangle, and of every client with global models.

        Args:
            table: distances, shape (m, m), of the first m participants.
            symmetric: whether one triangle is all.
            relations: which rows there are.
            layer: None for whole models.
            reasons: why distances are missing.
        """
        rows: list[Pair] = []
        for (i, mine), (j, other) in permutations(enumerate(self.participants.owners[: len(table)]), 2):
            if isinstance(mine, str) or (symmetric and j < i):
                continue
            relation = self.participants.relation(mine, other)
            if relation is None or relation not in relations:
                continue
            reason = reasons.get((min(i, j), max(i, j)), self.participants.incomparable)
            rows.append(self._row(table[i, j], relation, (mine, other), (layer, layer), reason))
        return rows

    def of_layers(self, matrix: np.ndarray, mine: int, model: Model, received: Model, reasons: Reasons) -> list[Pair]:
        """Return the rows of a client's layers against all layers of the global model that it received.

        Args:
            matrix: distances, shape (layers, layers).
            mine: the client.
            model: its layers.
            received: those of the global model.
            reasons: why distances are missing, places of the global model's layers after those of the client's.
        """
        return [
            self._row(
                matrix[i, j], "layers", (mine, "received"), (own.name, other.name),
                reasons.get((i, len(model) + j), self.participants.incomparable),
            )
            for (i, own), (j, other) in product(enumerate(model), enumerate(received))
        ]  # fmt: skip

    def _row(
        self, value: float, relation: str, owners: tuple[int, Owner], layers: tuple[str | None, ...], reason: str
    ) -> Pair:
        known, naming = bool(np.isfinite(value)), self.naming
        named: Mapping[str, Layer] = {layer.name: layer for layer in self.layers}
        return Pair(
            naming.quantity,
            float(value) if known else math.nan,
            subject=relation,
            variant=(naming.whole if layers[0] is None else naming.by_layer) or None,
            scope=self.participants.scope,
            n=self.participants.examples,
            owner="client",
            client=owners[0],
            other=None if isinstance(owners[1], str) else owners[1],
            other_round=self.round,
            other_layer=layers[1],
            status="ok" if known else "missing",
            reason=None if known else reason,
            **at(None if layers[0] is None else named[layers[0]]),
        )
