"""How much per-layer gradient statistics cost: run with ``python benchmarks/gradient_statistics.py``.

Compares the per-example pass (exact norms of all per-example gradients, and the mean gradient) with one plain
forward and backward pass on the same batch, on one thread. Both are timed in turns and the minima compared, so
that other work on the machine weighs on both alike. The limit is 1.8; the exit status is 1 if a ratio is above it.
"""

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from fedlayers.core.layers import layers_of
from metrics.example_gradients.per_example import ExamplePass

LIMIT = 1.8
REPEATS = 200


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 10))


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(name: str, module: nn.Module, batch: int) -> float:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(batch, 1, 28, 28, generator=generator)
    labels = torch.randint(10, (batch,), generator=generator)
    parameters = list(module.eval().parameters())
    run = ExamplePass(module, layers_of(module), features, labels)

    def plain() -> object:
        return torch.autograd.grad(F.cross_entropy(module(features), labels), parameters)

    def statistics() -> object:
        return run(features, labels)

    for work in (plain, statistics):
        seconds(work)
    times = [(seconds(plain), seconds(statistics)) for _ in range(REPEATS)]
    once, ours = min(a for a, _ in times), min(b for _, b in times)
    print(f"{name:6} batch {batch:4}: plain {1e3 * once:6.2f} ms, statistics {1e3 * ours:6.2f} ms, {ours / once:.2f}x")
    return ours / once


def main() -> int:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ratios = [
        compare(name, make(), batch) for name, make in (("mlp", mlp), ("lenet", lenet)) for batch in (64, 128, 512)
    ]
    return int(max(ratios) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
