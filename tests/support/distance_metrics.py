"""A check that holds any distance to what it declares, and clients to check it on."""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.distances.families import ClientMatrixMetric, ClientMetric, LayerMatrixMetric, ModelMatrixMetric
from metrics.distances.representations import representation_layer
from metrics.distances.steps.preprocessing import preprocess_clients
from metrics.distances.weights.participant import Client, LayerWeights, Model, RoleArray

RELATIVE, ABSOLUTE = 1e-9, 1e-12


def linear_layer(name: str, units: int, inputs: int, random: np.random.Generator) -> LayerWeights:
    weight, bias = random.standard_normal((units, inputs)), random.standard_normal(units)
    return LayerWeights(
        name, "linear", (RoleArray("weight", weight.astype(np.float32)), RoleArray("bias", bias.astype(np.float32)))
    )


def small_model(seed: int) -> Model:
    """Return linear layers 3 -> 4 -> 4 -> 4 -> 2, of which the second and the third have equal shapes."""
    random = np.random.default_rng(seed)
    sizes = itertools.pairwise((3, 4, 4, 4, 2))
    return tuple(linear_layer(f"fc{k}", units, inputs, random) for k, (inputs, units) in enumerate(sizes))


def small_clients(count: int = 5) -> list[Client]:
    """Return clients with models and gradients that have nothing to do with each other."""
    return [Client(small_model(seed), small_model(1000 + seed)) for seed in range(count)]


def probe_model(seed: int, examples: int = 40, widths: Sequence[int] = (3, 4, 4, 2)) -> Model:
    """Return representations of the same examples that have something to do with each other in all models."""
    shared = np.random.default_rng(0).standard_normal((examples, 3))
    random = np.random.default_rng(1000 + seed)
    values = [
        shared @ random.standard_normal((3, width)) + random.standard_normal((examples, width)) for width in widths
    ]
    return tuple(representation_layer(f"fc{k}", "linear", x.astype(np.float32)) for k, x in enumerate(values))


def probe_clients(count: int = 5) -> list[Client]:
    """Return clients with representations of layers of 3, 4, 4 and 2 units."""
    return [Client(probe_model(seed)) for seed in range(count)]


def scaled(model: Model, factor: float) -> Model:
    """Return a model with all numbers multiplied."""
    return tuple(
        replace(layer, arrays=tuple(replace(array, values=factor * array.values) for array in layer.arrays))
        for layer in model
    )


def check_contract(metric: ClientMatrixMetric, clients: Sequence[Client]) -> None:
    """Raise AssertionError, naming what is broken, unless a metric keeps what it declares on some clients.

    Checked: its distances are finite and 0 or more; the matrix is that of the pairs, in any order of the clients, also
    for a copy of the metric; symmetry, distance zero from itself and from exact copies, and scale; for layers the same
    of their matrices; nothing that it was given changes.

    Args:
        metric: of any family.
        clients: two or more, in general position: none of them a multiple or a copy of another.
    """
    before = copy.deepcopy(list(clients))
    matrix = metric.client_distance_matrix(clients)
    assert matrix.shape == (len(clients), len(clients)) and matrix.dtype == np.float64, "not a float64 matrix"
    assert np.isfinite(matrix).all() and (matrix >= 0).all(), "not finite and 0 or more"
    _equal(copy.deepcopy(metric).client_distance_matrix(clients), matrix, "a copy of the metric differs")
    _check_pairs(metric, clients, matrix)
    _check_declarations(metric, clients, matrix)
    _check_order(metric, clients, matrix)
    if isinstance(metric, ModelMatrixMetric):
        by_models = metric.model_distance_matrix([client.model for client in clients])
        _equal(by_models, matrix, "models are not as far apart as their clients")
    if isinstance(metric, LayerMatrixMetric):
        _check_layers(metric, clients[0].model, clients[1].model)
    assert _content(clients) == _content(before), "the input was modified"


def _check_pairs(metric: ClientMatrixMetric, clients: Sequence[Client], matrix: np.ndarray) -> None:
    if isinstance(metric, ClientMetric):
        # Prepared together, as for the matrix: a step may look at all clients.
        steps = metric.preprocessing_steps
        prepared = preprocess_clients(clients, steps)
        pairs = [[metric.client_distance(a, b, ignored_steps=steps) for b in prepared] for a in prepared]
        if metric.between_clients.symmetric:
            _equal(np.array(pairs).T, np.array(pairs), "declared symmetric, is not")
        if metric.between_clients.zero_self:
            _equal(np.diagonal(pairs), np.zeros(len(pairs)), "declared zero on itself, is not")
        _equal(np.array(pairs), matrix, "the matrix is not that of the pairs")


def _check_declarations(metric: ClientMatrixMetric, clients: Sequence[Client], matrix: np.ndarray) -> None:
    declared, count = metric.between_clients, len(clients)
    if declared.symmetric:
        _equal(matrix.T, matrix, "declared symmetric, is not")
    if declared.zero_self:
        doubled = metric.client_distance_matrix([*clients, *copy.deepcopy(list(clients))])
        _equal(doubled.diagonal(), np.zeros(2 * count), "declared zero on itself, is not")
        _equal(doubled.diagonal(count), np.zeros(count), "declared zero on itself, is not on an exact copy")
    for factor in () if declared.scale == "none" else (0.25, 8.0):  # powers of two: exact in float32, too
        larger = [_scaled_client(client, factor) for client in clients]
        expected = matrix if declared.scale == "invariant" else factor * matrix
        _equal(metric.client_distance_matrix(larger), expected, f"declared {declared.scale}, is not")


def _check_order(metric: ClientMatrixMetric, clients: Sequence[Client], matrix: np.ndarray) -> None:
    order = [*range(1, len(clients)), 0][::-1]
    shuffled = metric.client_distance_matrix([clients[i] for i in order])
    _equal(shuffled, matrix[np.ix_(order, order)], "depends on the order of the clients")


def _scaled_client(client: Client, factor: float) -> Client:
    gradient = None if client.gradient is None else scaled(client.gradient, factor)
    return Client(scaled(client.model, factor), gradient)


def _check_layers(metric: LayerMatrixMetric, a: Model, b: Model) -> None:
    matrix = metric.layer_distance_matrix(a, b)
    if metric.symmetric:
        _equal(metric.layer_distance_matrix(b, a), matrix.T, "layers are declared symmetric, are not")
    if metric.zero_self:
        own = metric.layer_distance_matrix(a, copy.deepcopy(a)).diagonal()
        _equal(own[~np.isnan(own)], np.zeros((~np.isnan(own)).sum()), "layers are declared zero on themselves, are not")
    if metric.scale != "none":
        larger = metric.layer_distance_matrix(scaled(a, 8.0), scaled(b, 8.0))
        expected = matrix if metric.scale == "invariant" else 8.0 * matrix
        _equal(larger, expected, f"layers are declared {metric.scale}, are not")


def _equal(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert np.allclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True), f"{what}: {found} {expected}"


def _content(clients: Sequence[Client]) -> list[tuple[str, int, tuple[int, ...], bytes]]:
    layers = [layer for client in clients for model in (client.model, client.gradient or ()) for layer in model]
    return [
        (array.role, array.unit_axis, array.values.shape, array.values.tobytes())
        for layer in layers
        for array in layer.arrays
    ]
