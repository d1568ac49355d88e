"""How long Procrustes distances of all pairs of clients take: run with ``python benchmarks/shape_metrics.py``.

Compares ``procrustes``, standard errors included, with the way that libraries go: pair after pair, a full singular
value decomposition of the cross-covariance, both arrays transformed, then the angle between them. Both are timed in
turns on one thread and the minima compared. The limit is 1.3 times as long, and 1.8 times for nearly equal clients,
whose distances are computed so that no digits are lost; the exit status is 1 if a ratio is above it. What 100
permutations behind the null band cost is shown as well.
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

from metrics.compare.procrustes import Procrustes

LIMIT = 1.3
LIMIT_CLOSE = 1.8
REPEATS = 5
CLIENTS = 20


def representations(records: int, units: int, noise: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(records, units, generator=generator)
    return [shared + noise * torch.randn(records, units, generator=generator) for _ in range(CLIENTS)]


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


def compare(records: int, units: int, noise: float) -> float:
    items = representations(records, units, noise)
    arrays = [item.double().numpy() for item in items]
    pairs = list(combinations(range(CLIENTS), 2))
    measure = Procrustes()
    assert np.allclose(measure.compare(items, pairs, 0, 0)[0].value, pair_by_pair(arrays), rtol=1e-6)
    times = [
        (seconds(lambda: pair_by_pair(arrays)), seconds(lambda: measure.compare(items, pairs, 0, 0)))
        for _ in range(REPEATS)
    ]
    plain, ours = min(a for a, _ in times), min(b for _, b in times)
    print(
        f"{records:5} records, {units:4} units, noise {noise:4}: {len(pairs)} pairs one by one {plain:5.2f} s, "
        f"procrustes {ours:5.2f} s, {ours / plain:.2f}x"
    )
    return ours / plain


def show_permutations(records: int, units: int) -> None:
    items = representations(records, units, 1.0)[:6]
    pairs = list(combinations(range(6), 2))
    spent = min(seconds(lambda: Procrustes().compare(items, pairs, 100, 0)) for _ in range(2))
    print(f"{records:5} records, {units:4} units: {len(pairs)} pairs with 100 permutations {spent:5.2f} s")


def main() -> int:
    torch.set_num_threads(1)
    apart = [compare(records, units, 1.0) for records, units in ((500, 128), (1000, 128), (1000, 32), (500, 256))]
    close = compare(1000, 128, 0.01)
    for units in (32, 64, 128):
        show_permutations(1000, units)
    return int(max(apart) > LIMIT or close > LIMIT_CLOSE)


if __name__ == "__main__":
    sys.exit(main())
