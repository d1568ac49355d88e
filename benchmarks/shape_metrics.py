"""How long Procrustes distances of all pairs of clients take: run with ``python benchmarks/shape_metrics.py``.

Compares ``procrustes``, standard errors included, with the way that libraries go: pair after pair, a full singular
value decomposition of the cross-covariance, both arrays transformed, then the angle between them. Both are timed in
turns and the minima compared: the plain way with one thread, which is the fastest for matrices of this size, ours with
one thread and with two. The limit with one thread is 1.3 times as long, and 1.8 times for nearly equal clients, whose
distances are computed so that no digits are lost; with two threads 190 pairs of 1,000 examples and 128 units may take
0.4 s. The exit status is 1 if one is broken. What 100 permutations behind the null band cost is shown as well.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import combinations

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.machine.devices import prepare_process
from metrics.compare.measures.procrustes import Procrustes

LIMIT = 1.3
LIMIT_CLOSE = 1.8
LIMIT_S = 0.4
REPEATS = 5
CLIENTS = 20


def representations(examples: int, units: int, noise: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(examples, units, generator=generator)
    return [shared + noise * torch.randn(examples, units, generator=generator) for _ in range(CLIENTS)]


def pair_by_pair(items: Sequence[np.ndarray]) -> list[float]:
    """Return the angles the plain way: align, transform, measure."""
    found = []
    for x, y in combinations(items, 2):
        a, b = x - x.mean(0), y - y.mean(0)
        left, _, right = np.linalg.svd(a.T @ b)
        turned, fixed = a @ left, b @ right.T
        cosine = np.vdot(turned, fixed) / (np.linalg.norm(turned) * np.linalg.norm(fixed))
        found.append(math.acos(min(1.0, float(cosine))))
    return found


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def with_threads(count: int, work: Callable[[], object]) -> float:
    torch.set_num_threads(count)
    spent = seconds(work)
    torch.set_num_threads(1)
    return spent


def compare(examples: int, units: int, noise: float) -> tuple[float, float]:
    """Return how long ours takes with one thread, relative to the plain way, and its seconds with two."""
    items = representations(examples, units, noise)
    arrays = [item.double().numpy() for item in items]
    pairs = list(combinations(range(CLIENTS), 2))
    measure = Procrustes()
    assert np.allclose(measure.compare(items, pairs, 0, 0)[0].value, pair_by_pair(arrays), rtol=1e-6)

    def ours() -> object:
        return measure.compare(items, pairs, 0, 0)

    times = [
        (seconds(lambda: pair_by_pair(arrays)), with_threads(1, ours), with_threads(2, ours)) for _ in range(REPEATS)
    ]
    plain, one, two = (min(column) for column in zip(*times, strict=True))
    print(
        f"{examples:5} examples, {units:4} units, noise {noise:4}: {len(pairs)} pairs one by one {plain:5.2f} s, "
        f"procrustes {one:5.2f} s, {one / plain:.2f}x; with two threads {two:5.2f} s"
    )
    return one / plain, two


def show_permutations(examples: int, units: int) -> None:
    items = representations(examples, units, 1.0)[:6]
    pairs = list(combinations(range(6), 2))
    spent = min(seconds(lambda: Procrustes().compare(items, pairs, 100, 0)) for _ in range(2))
    print(f"{examples:5} examples, {units:4} units: {len(pairs)} pairs with 100 permutations {spent:5.2f} s")


def main() -> int:
    prepare_process(deterministic=False)
    torch.set_num_threads(1)
    apart = [compare(examples, units, 1.0) for examples, units in ((500, 128), (1000, 128), (1000, 32), (500, 256))]
    close, _ = compare(1000, 128, 0.01)
    for units in (32, 64, 128):
        show_permutations(1000, units)
    slow = max(ratio for ratio, _ in apart) > LIMIT or close > LIMIT_CLOSE
    return int(slow or apart[1][1] > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
