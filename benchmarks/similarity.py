"""How fast all pairs of clients are compared: run with ``python benchmarks/similarity.py``.

Twenty clients, 1,000 probe examples, one layer. The debiased CKA table of all 190 pairs against the loop of netrep
0.0.2 (its ``LinearCKA.score``: two centred n × n Gram matrices a pair, float64 NumPy), of which 19 pairs are timed
and taken times ten; both with two threads, in turns, minima. Limits: 15 times faster and 0.3 s at 512 units. The exit
status is 1 if a limit is broken.
"""

import itertools
import math
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from metrics.compare.measures.cka import CKA
from metrics.compare.products.centred import centred
from metrics.compare.products.gram_products import gram_products

CLIENTS, EXAMPLES, UNITS = 20, 1000, 512
REPEATS, LEAST_RATIO, LIMIT_S = 5, 15.0, 0.3
PAIRS = list(itertools.combinations(range(CLIENTS), 2))


def representations(units: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(EXAMPLES, units, generator=generator)
    return [shared + torch.randn(EXAMPLES, units, generator=generator) for _ in range(CLIENTS)]


def netreps_angle(x: np.ndarray, y: np.ndarray) -> float:
    """Return arccos of biased CKA as ``netrep.metrics.LinearCKA(center_columns=True).score`` does."""
    x, y = x - x.mean(0), y - y.mean(0)
    k, m = x @ x.T, y @ y.T
    value = np.sum(k * m) / math.sqrt(np.sum(k * k) * np.sum(m * m))
    return float(np.arccos(min(1.0, max(-1.0, value))))


def table(items: list[Tensor]) -> np.ndarray:
    """Return debiased CKA of all pairs, shape (190,)."""
    found = gram_products([centred(item) for item in items], PAIRS, debiased=True)
    own, pair = found.own.sum(1), found.pair.sum(1)
    first, second = torch.tensor(PAIRS).T
    return np.asarray(pair / (own[first] * own[second]).sqrt())


def seconds(work: Callable[[], object]) -> float:
    # The threads of one library's linear algebra still spin for a while when the other's begins.
    time.sleep(0.3)
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> int:
    torch.set_num_threads(2)
    items = representations(UNITS)
    arrays = [item.double().numpy() for item in items]
    some = PAIRS[::10]

    def ours() -> object:
        return table(items)

    def netrep() -> object:
        return [netreps_angle(arrays[a], arrays[b]) for a, b in some]

    for work in (ours, netrep):
        seconds(work)
    times = [(seconds(ours), seconds(netrep) * len(PAIRS) / len(some)) for _ in range(REPEATS)]
    table_s, netrep_s = min(a for a, _ in times), min(b for _, b in times)
    whole_s = min(seconds(lambda: CKA().compare(items, PAIRS, 0, 0)) for _ in range(2))
    print(f"debiased CKA, {CLIENTS} clients, {EXAMPLES} examples, {UNITS} units, {len(PAIRS)} pairs:")
    print(f"  netrep's loop {netrep_s:6.2f} s, ours {table_s:5.3f} s, {netrep_s / table_s:.0f} times faster")
    print(f"  with standard errors, null bands and p values {whole_s:5.3f} s")
    return int(table_s > LIMIT_S or netrep_s / table_s < LEAST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
