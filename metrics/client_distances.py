"""How far clients are from each other and from the global model, by many distances at once."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.quantities import Quantities, told
from fedlayers.core.records import Row, missing
from metrics.base import SHARED, ClientView, Facts, Measurement, Metric, ServerView, at, measured
from metrics.distances.built_in import built_in_metrics
from metrics.distances.families import ClientMatrixMetric, LayerMatrixMetric, LayerMetric, ModelMatrixMetric
from metrics.distances.gram.shared_products import shared_products
from metrics.distances.metric_set import MetricSet
from metrics.distances.names import parse_name
from metrics.distances.own import check_own, is_of_weights
from metrics.distances.pair_rows import Naming, PairRows
from metrics.distances.participants import (
    GLOBAL,
    INCOMPARABLE,
    CarefulStep,
    LayerTables,
    Owner,
    Participants,
    by_weights,
    check_moments,
)
from metrics.distances.partly_sent import alone, layers_of_some
from metrics.distances.probe_models import by_representations, send_representations
from metrics.distances.representations import RepresentationMetric
from metrics.distances.tree import PreprocessingTree
from metrics.distances.weights.participant import Client, LayerWeights, model_of
from metrics.probe.activations import probe_remark
from metrics.probe.positions import check_positions

RELATIONS = ("clients", "received", "aggregated", "layers")


class Distances(Metric):
    """Distances between weights, or between what layers compute, a row in ``pairs/`` for each of them.

    Client half, if a distance is one between representations: the layers' outputs on the probe, whole, sent once with
    other metrics; of layers above the payload limit nothing is sent, and their distances are missing.

    Server half: ``subject`` names the relation:

    - ``clients``: from client to other client; one triangle if the distance is symmetric;
    - ``received``: from a client to the model that it was sent (its drift), ``other`` null;
    - ``aggregated``: from a client to what aggregation made for it, ``other`` null: the global model, or its cluster's;
    - ``layers``: from a client's layer to every layer of the model that it was sent, ``other_layer``; a full
      matrix with a true diagonal, for distances that compare layers of different shapes, such as ``procrustes_dst``,
      and for others if their name says so (``mean&full-l2_dst``).

    A layer distance has a row for every layer and one for the whole model, whose ``variant`` says how layers are
    aggregated; what a name puts before the base (``nb``, ``fb``) is part of ``variant``, too, and so are the positions
    of representations, which have ``scope`` ``probe`` and the number of its examples as ``n``. Common preprocessing is
    done once. A distance that is not defined is missing with its reason, and so are relations to models of the server
    where it makes none. Weights are compared in the layers that all clients sent, and ``shared`` ends the ``variant``
    of distances between whole models then. A layer that some of them sent is compared among those, by itself (not where
    units are aligned: other layers decide there), and what is missing says who did not send it. Matrices are kept, too:
    ``<name>`` of shape (n, n), and ``<name>/layers`` of shape (layers, n, n), n clients in ascending order, then the
    models of the server that they received, then those made for them (of representations, those that the relations
    name).

    Args:
        names: distances by name, see :mod:`metrics.distances.names` and :mod:`metrics.distances.built_in`.
        own: name -> a distance of your own, an instance of one of the families; ``names`` has to ask for it.
        relations: which pairs.
        positions: what becomes of pixels and sequence steps in representations: ``pooled``, ``flattened`` or
            ``samples``, see :func:`metrics.probe.activations.layer_outputs`.
        max_sets: preprocessed copies of all weights that may be held at once; null for as many as save time.
        rounds, moments: see :class:`metrics.base.Metric`; weights are known at ``after_local`` only.
        steps: see :class:`metrics.base.Metric`; inside local training it is the distance of the weights from those that
            training started from, in ``records/``.

    Raises:
        ValueError: a name or a relation is not known.
    """

    facts: tuple[Facts, ...] = tuple(Quantities.of(metric.facts for metric in built_in_metrics()).values())

    def __init__(
        self,
        names: Sequence[str] = ("model_cosine_dst", "cosine_dst", "l2_dst", "symmetric_trusted_dst"),
        own: Mapping[str, ClientMatrixMetric] | None = None,
        relations: Sequence[str] = ("clients", "received", "aggregated"),
        positions: str = "pooled",
        max_sets: int | None = None,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
        steps: Sequence[str | int] = (),
    ) -> None:
        super().__init__(rounds, moments, steps)
        check_moments(moments)
        if not relations:
            raise ValueError(f"relations must hold one or more of {', '.join(RELATIONS)}, got []")
        for relation in relations:
            if relation not in RELATIONS:
                raise ValueError(f"relations must be some of {', '.join(RELATIONS)}, got {relation!r}")
        for name, metric in (own or {}).items():
            check_own(name, metric, names)
        if not names:
            raise ValueError("names must hold one distance or more, such as [l2_dst]")
        every = MetricSet([*built_in_metrics(), *(own or {}).values()])
        self.metrics = {metric.name: metric for metric in every.get_metrics(names)}
        used = dict.fromkeys(parse_name(name).base for name in self.metrics)
        self.facts = tuple(Quantities.of(every.get_metric(base).facts for base in used).values())
        self.renamed = told(names)
        self.relations = tuple(relations)
        self.positions = check_positions(positions)
        self._on_probe = [name for name, metric in self.metrics.items() if isinstance(metric, RepresentationMetric)]
        self._in_training = {name: metric for name, metric in self.metrics.items() if is_of_weights(metric)}
        if steps and not self._in_training:
            raise ValueError(
                f"steps must be [] where no distance is one between weights, got {list(steps)}: distances of "
                "representations are not measured inside local training; add one such as l2_dst to names"
            )
        self.uses_probe = bool(self._on_probe)
        self.common = frozenset(self.metrics[name].quantity for name in self._on_probe)
        self.tree = self._tree([name for name in self.metrics if name not in self._on_probe], max_sets)
        self.probe_tree = self._tree(self._on_probe, max_sets)
        of_layers = alone({name: one for name, one in self.metrics.items() if name not in self._on_probe})
        self.layer_tree = self._tree(of_layers, max_sets)

    def remarks(self, view: ClientView) -> list[str]:
        """Say which names are old and, if there are representations, where the probe is small for a layer's width."""
        every = {name: self.metrics[name] for name in self._on_probe}
        found = {name: one.comparison for name, one in every.items() if isinstance(one, RepresentationMetric)}
        return [*self.renamed, *(probe_remark(view, self.positions, found) if found else [])]

    def client(self, view: ClientView) -> Measurement:
        """Return the representations, if there is a distance between them."""
        quantities = dict.fromkeys(self.metrics[name].quantity for name in self._on_probe)
        return send_representations(view, self.positions, quantities) if quantities else Measurement()

    def step(
        self, layers: Sequence[Layer], parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]
    ) -> list[Row]:
        """Return the distances from the client's weights to those that its training started from."""
        both = [Client(model_of(layers, weights)) for weights in (parameters, reference)]
        places = {layer.name: at(layer) for layer in layers}
        rows: list[Row] = []
        done: set[tuple[str, str]] = set()
        for name, metric in self._in_training.items():
            naming = Naming.of(name, metric)
            value = metric.client_distance_matrix(both)[0, 1]
            rows.append(measured(naming.quantity, value, INCOMPARABLE, variant=naming.whole or None))
            if isinstance(metric, LayerMetric) and (naming.quantity, naming.steps) not in done:
                done.add((naming.quantity, naming.steps))
                for layer, table in zip(both[0].model, metric.layer_distances([b.model for b in both]), strict=False):
                    variant = naming.by_layer or None
                    rows.append(
                        measured(naming.quantity, table[0, 1], INCOMPARABLE, variant=variant, **places[layer.name])
                    )
        return rows

    def server(self, view: ServerView) -> Measurement:
        """Return a row for every distance, relation, layer and pair, and the matrices."""
        measurement = Measurement()
        if view.why_no_model:
            affected = self._on_probe if view.has_global_model else list(self.metrics)
            measurement.rows += self._without_global_model(affected, view.why_no_model)
        if len(self.metrics) > len(self._on_probe):
            measurement.rows += self._of_kept_layers(view)
            with shared_products():
                found = by_weights(view, GLOBAL if view.has_global_model else ())
                self._measure_all(self.tree.run(found), view, measurement)
            measurement.rows += self._of_partly_sent_layers(view)
        if self._on_probe:
            global_models = GLOBAL if "layers" in self.relations else [n for n in GLOBAL if n in self.relations]
            found = by_representations(view, self.positions, global_models)
            self._measure_all(self.probe_tree.run(found), view, measurement)
        return measurement

    def _without_global_model(self, names: Sequence[str], why: str) -> list[Row]:
        relations = [relation for relation in self.relations if relation != "clients"]
        whose = dict.fromkeys(
            (self.metrics[name].quantity, "probe" if name in self._on_probe else None) for name in names
        )
        return [
            missing(quantity, why, subject=relation, scope=scope, owner="server")
            for quantity, scope in whose
            for relation in relations
        ]

    def _of_kept_layers(self, view: ServerView) -> list[Row]:
        """Return missing values for the layers whose weights the server has not."""
        by_layer = [n for n, one in self.metrics.items() if isinstance(one, LayerMetric) and n not in self._on_probe]
        return [
            missing(name, why, subject=relation, owner="server", **at(layer))
            for name in dict.fromkeys(self.metrics[name].quantity for name in by_layer)
            for relation in self.relations
            for layer, why in view.kept_layers.items()
        ]

    def _of_partly_sent_layers(self, view: ServerView) -> list[Row]:
        """Return the rows of layers that some clients sent: of these clients' own layers, each layer by itself."""
        rows: list[Row] = []
        for own in layers_of_some(view):
            done: set[tuple[str, str]] = set()
            with shared_products():
                found = by_weights(own, GLOBAL if view.has_global_model else ())
                for name, participants in self.layer_tree.run(found):
                    metric, naming = self.metrics[name], Naming.of(name, self.metrics[name])
                    # Ways of aggregation differ in the whole model only.
                    key = parse_name(name).base, naming.steps
                    if participants.refusal is None and key not in done:
                        done.add(key)
                        rows += _of_layers(metric, participants, own, naming, self.relations)
        return rows

    def _tree(self, names: Iterable[str], max_sets: int | None) -> PreprocessingTree[Participants]:
        steps = {name: self.metrics[name].preprocessing_steps for name in names}
        return PreprocessingTree({name: [CarefulStep(step) for step in own] for name, own in steps.items()}, max_sets)

    def _measure_all(
        self, prepared: Iterable[tuple[str, Participants]], view: ServerView, measurement: Measurement
    ) -> None:
        """Add the rows and matrices of all distances of a tree to a measurement."""
        done: dict[tuple[str, str], LayerTables] = {}
        for name, participants in prepared:
            metric = self.metrics[name]
            naming = Naming.of(name, metric, self.positions if name in self._on_probe else None)
            if view.kept_layers and name not in self._on_probe:
                naming = replace(naming, whole=", ".join(filter(None, (naming.whole, SHARED))))
            if participants.refusal is not None:
                address = {"variant": naming.whole, "scope": participants.scope, "owner": "server"}
                measurement.rows.append(missing(naming.quantity, participants.refusal, **address))
                continue
            rows, key = PairRows(naming, participants, view.layers, view.round), (parse_name(name).base, naming.steps)
            # Ways of aggregation differ in the whole model only.
            if key not in done:
                done[key] = LayerTables.of(metric, participants)
                self._add_layers(name, metric, done[key], rows, measurement)
            matrix = measurement.kept[name] = _whole(metric, participants, done[key])
            measurement.rows += rows.of_table(matrix, metric.symmetric, self.relations, None, done[key].why_whole())

    def _add_layers(
        self, name: str, metric: ClientMatrixMetric, tables: LayerTables, rows: PairRows, measurement: Measurement
    ) -> None:
        """Add the rows of distances between layers, and their matrices."""
        if isinstance(metric, LayerMetric):
            measurement.kept[f"{name}/layers"] = tables.values
            for layer, table, reasons in zip(tables.names, tables.values, tables.reasons, strict=True):
                measurement.rows += rows.of_table(table, metric.symmetric, self.relations, layer, reasons)
        if isinstance(metric, LayerMatrixMetric) and "layers" in self.relations:
            measurement.rows += _across_layers(metric, rows)


def _of_layers(
    metric: ClientMatrixMetric, participants: Participants, view: ServerView, naming: Naming, relations: Sequence[str]
) -> Iterator[Row]:
    """Yield the rows of the distances between single layers."""
    tables, rows = LayerTables.of(metric, participants), PairRows(naming, participants, view.layers, view.round)
    for layer, table, reasons in zip(tables.names, tables.values, tables.reasons, strict=True):
        yield from rows.of_table(table, metric.symmetric, relations, layer, reasons)


def _whole(metric: ClientMatrixMetric, participants: Participants, tables: LayerTables) -> np.ndarray:
    """Return the distances between whole models, or clients where these are more than their models."""
    if isinstance(metric, RepresentationMetric) and metric.pairwise:
        return metric.model_distances(tables.values)
    clients = participants.clients
    if not isinstance(metric, ModelMatrixMetric):
        clients = tuple(c for c, owner in zip(clients, participants.owners, strict=True) if isinstance(owner, int))
    return metric.client_distance_matrix(clients, metric.preprocessing_steps)


def _across_layers(metric: LayerMatrixMetric, rows: PairRows) -> list[Row]:
    """Return the rows of every client's layers against all layers of the global model that it received.

    A distance that needs equal shapes has nothing to say about them unless it was asked to.
    """
    participants = rows.participants
    if isinstance(metric, LayerMetric) and metric.pairwise:
        if metric.needs_equal_shapes:
            return []
        metric = copy.copy(metric)
        metric.compare_pairwise(False)
    models = dict(zip(participants.owners, participants.models, strict=True))
    found: list[Row] = []
    for owner, model in models.items():
        name = "" if isinstance(owner, str) else participants.given_to("received", owner)
        if isinstance(owner, str) or name not in models:
            continue
        received = models[name]
        matrix = metric.layer_distance_matrix(model, received, metric.preprocessing_steps)
        sides: list[tuple[Owner, LayerWeights]] = [
            *((owner, layer) for layer in model),
            *((name, layer) for layer in received),
        ]
        unknown = [(i, len(model) + j) for i, j in np.argwhere(np.isnan(matrix)).tolist()]
        reasons = participants.reasons(metric, sides, unknown)
        found += rows.of_layers(matrix, owner, model, received, reasons)
    return found
