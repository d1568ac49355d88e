"""How fast all pairs of clients are compared by their weights: run with ``python benchmarks/distances.py``.

A hundred clients with a CNN of a million parameters: cosine and Euclidean distances of all 4,950 pairs, for every layer
and the whole model, against the plain loop over pairs (float64 copies made beforehand), of which every 50th pair is
timed and taken times fifty; on one thread, in turns, minima. Limit: 20 times faster. Then the largest relative error
of some pairs of nearly equal clients (relative difference 1e-6) against extended precision. Limit: 1e-9. Then work that
is done pair by pair: Wasserstein distances of sixty such clients, every 50th pair, here against spread over two of
Ray's workers, the weights sent anew every time; no limit, for it depends on the cores that are free. The exit status is
1 if a limit is broken.
"""

import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from flwr.clientapp import ClientApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.machine.devices import threads
from fedlayers.engines.base import Workplace
from fedlayers.engines.ray.engine import RayGrid
from metrics.distances.gram.gram_pairs import GramDistances, pairwise_by_gram
from metrics.distances.measures.wasserstein import WassersteinMetric
from metrics.distances.weights.participant import LayerWeights, Model, RoleArray

CLIENTS, REPEATS, EVERY = 100, 5, 50
LEAST_RATIO, LARGEST_ERROR = 20.0, 1e-9
# Weights with their biases: four convolutions 3 × 3, of 32, 64, 128 and 256 channels, and two linear layers.
SIZES = (3 * 32 * 9 + 32, 32 * 64 * 9 + 64, 64 * 128 * 9 + 128, 128 * 256 * 9 + 256, 1024 * 600 + 600, 600 * 10 + 10)
UNITS = (32, 64, 128, 256, 600, 10)
SPREAD_CLIENTS, SPREAD_REPEATS = 60, 3
PAIRS = list(itertools.combinations(range(CLIENTS), 2))


def federation(difference: float, dtype: type) -> list[np.ndarray]:
    """Return every layer of all clients, shape (clients, d) each."""
    random = np.random.default_rng(0)
    shared = [random.standard_normal(size) for size in SIZES]
    return [
        np.stack([(x + difference * random.standard_normal(len(x))).astype(dtype) for _ in range(CLIENTS)])
        for x in shared
    ]


def tables(found: GramDistances) -> list[np.ndarray]:
    """Return Euclidean and cosine distances of every layer and of the whole model."""
    parts = [*range(len(SIZES)), None]
    return [found.l2(part) for part in parts] + [found.cosine(part) for part in parts]


def loop(layers: list[np.ndarray], pairs: list[tuple[int, int]]) -> list[list[float]]:
    """Return the same pair by pair, the plain way."""
    return [
        [float(np.linalg.norm(layer[i] - layer[j])) for layer in layers]
        + [1 - float(layer[i] @ layer[j] / (np.linalg.norm(layer[i]) * np.linalg.norm(layer[j]))) for layer in layers]
        for i, j in pairs
    ]


def exact(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return Euclidean and cosine distance with 64 bits of mantissa."""
    a, b = x.astype(np.longdouble), y.astype(np.longdouble)
    norm_a, norm_b = np.sqrt((a * a).sum()), np.sqrt((b * b).sum())
    chord = a / norm_a - b / norm_b
    return float(np.sqrt(((a - b) ** 2).sum())), float((chord * chord).sum() / 2)


def largest_error() -> float:
    layers = federation(1e-6, np.float64)
    found, worst = tables(pairwise_by_gram(layers)), 0.0
    for k, layer in enumerate([*layers, np.hstack(layers)]):
        for i, j in PAIRS[::1000]:
            ours = found[k][i, j], found[len(SIZES) + 1 + k][i, j]
            errors = [abs(a / b - 1) for a, b in zip(ours, exact(layer[i], layer[j]), strict=True)]
            worst = max(worst, *errors)
    return worst


def model(layers: list[np.ndarray], client: int) -> Model:
    """Return a client's layers, biases beside the weights."""
    arrays = [layer[client].reshape(units, -1) for layer, units in zip(layers, UNITS, strict=True)]
    return tuple(LayerWeights(f"{k}", "linear", (RoleArray("weight", array),)) for k, array in enumerate(arrays))


def wasserstein(models: list[Model], pair: tuple[int, int]) -> float:
    return WassersteinMetric()._model_distance(models[pair[0]], models[pair[1]])


def spread_ratio(layers: list[np.ndarray]) -> tuple[float, float, int]:
    """Return the seconds of Wasserstein distances here and with two workers, the least of a few, and how many."""
    models = [model(layers, client) for client in range(SPREAD_CLIENTS)]
    pairs = [pair for pair in PAIRS if max(pair) < SPREAD_CLIENTS][::EVERY]
    place = Workplace(ClientApp(), [1, 1], Path(tempfile.mkdtemp()), threading.Event(), lambda _: None)
    grid = RayGrid(place, Engine(name="ray", workers=2))
    grid.parallel_map(wasserstein, models, pairs[:8])

    def here() -> object:
        return [wasserstein(models, pair) for pair in pairs]

    def there() -> object:
        return grid.parallel_map(wasserstein, models, pairs)

    times = [(seconds(here), seconds(there)) for _ in range(SPREAD_REPEATS)]
    grid.close()
    return min(a for a, _ in times), min(b for _, b in times), len(pairs)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    clients = federation(0.1, np.float32)
    doubles = [layer.astype(np.float64) for layer in clients]
    doubles.append(np.hstack(doubles))
    some = PAIRS[::EVERY]

    def ours() -> object:
        return tables(pairwise_by_gram(clients))

    def plain() -> object:
        return loop(doubles, some)

    with threads(1):
        for work in (ours, plain):
            seconds(work)
        times = [(seconds(ours), seconds(plain) * len(PAIRS) / len(some)) for _ in range(REPEATS)]
        error = largest_error()
        here_s, there_s, pairs = spread_ratio(clients)
    ours_s, plain_s = min(a for a, _ in times), min(b for _, b in times)
    print(
        f"Euclidean and cosine distances, {CLIENTS} clients, {sum(SIZES):,} parameters, {len(SIZES)} layers and whole:"
    )
    print(f"  plain loop {plain_s:6.2f} s, ours {ours_s:5.3f} s, {plain_s / ours_s:.0f} times faster")
    print(f"  largest relative error for nearly equal clients {error:.1e}")
    print(
        f"Wasserstein distances, {SPREAD_CLIENTS} clients, {pairs} pairs: here {here_s:5.2f} s, two workers "
        f"{there_s:5.2f} s, {here_s / there_s:.2f} times faster"
    )
    return int(plain_s / ours_s < LEAST_RATIO or error > LARGEST_ERROR)


if __name__ == "__main__":
    sys.exit(main())
