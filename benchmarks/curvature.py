"""How much eigenvalues and traces of every layer cost: run with ``python benchmarks/curvature.py``.

The five largest eigenvalues and the trace of every layer of the small CNN, one batch of 128, one thread; in units of
one gradient of the whole model, and against hessian-eigenthings 1.0.0a5 (``pip install -e ".[bench]"``) with the same
numbers of products. In turns, minima. Limits: 120 gradients, and twice as fast. The exit status is 1 if a limit is
broken.
"""

import importlib.util
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlayers.core.layers import Layer, layers_of
from fedlayers.models.cnn import CNN
from metrics.hessian.block import Effort, HessianBlock, analyse_block
from metrics.hessian.lanczos import lanczos
from metrics.hessian.products import GradientGraph
from metrics.hessian.trace import signs

PROBES, WANTED, TOLERANCE = 16, 5, 1e-3
EFFORT = Effort(WANTED, 40, TOLERANCE, (PROBES, PROBES), 0.0, 0, 0, 0)
MOST_GRADIENTS, LEAST_RATIO, REPEATS = 120.0, 2.0, 5


def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """Return the small CNN after eighty steps on ten noisy patterns, and a batch."""
    torch.manual_seed(0)
    module, patterns = CNN((1, 28, 28), 10), torch.randn(10, 1, 28, 28)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9)
    for _ in range(81):
        labels = torch.randint(10, (128,))
        features = patterns[labels] + 4 * torch.randn(128, 1, 28, 28)
        optimizer.zero_grad()
        F.cross_entropy(module(features), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return module.eval(), features, labels


def ours(module: nn.Module, features: Tensor, labels: Tensor) -> list[HessianBlock]:
    graph = GradientGraph(module, layers_of(module), features, labels)
    found = []
    for layer in layers_of(module):
        like = torch.zeros(sum(module.get_parameter(name).numel() for name in layer.names))

        def operator(vectors: Tensor, layer: Layer = layer) -> Tensor:
            return graph.products(layer, vectors)

        found.append(analyse_block(operator, like, EFFORT, torch.Generator().manual_seed(1)))
    return found


def with_eigenthings(module: nn.Module, features: Tensor, labels: Tensor, steps: list[int]) -> list[list[float]]:
    """Do the same with hessian-eigenthings."""
    from hessian_eigenthings import HessianOperator, hutchinson, match_names, supervised_loss
    from hessian_eigenthings import lanczos as their_lanczos

    found = []
    for layer, count in zip(layers_of(module), steps, strict=True):
        operator = HessianOperator(
            module, [(features, labels)], supervised_loss(F.cross_entropy), param_filter=match_names(f"{layer.name}.*")
        )
        pairs = their_lanczos(operator, k=WANTED, max_iter=count, tol=0.0, seed=2)
        hutchinson(operator, num_samples=PROBES, seed=2)
        found.append([float(value) for value in pairs.eigenvalues])
    return found


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def worst(found: list[list[float]], exact: list[np.ndarray]) -> float:
    """Return the largest relative error of an eigenvalue."""
    errors = [np.abs(np.sort(np.abs(own)) / np.sort(np.abs(true)) - 1) for own, true in zip(found, exact, strict=True)]
    return float(np.concatenate(errors).max())


def main() -> int:
    torch.set_num_threads(1)
    module, features, labels = trained()
    parameters = list(module.parameters())
    graph, steps, exact = GradientGraph(module, layers_of(module), features, labels), [], []
    for layer in layers_of(module):
        count = [0]

        def operator(vector: Tensor, layer: Layer = layer, count: list[int] = count) -> Tensor:
            count[0] += 1
            return graph.products(layer, vector[None])[0]

        size = sum(module.get_parameter(name).numel() for name in layer.names)
        lanczos(operator, signs(1, size, torch.Generator().manual_seed(1))[0], EFFORT.steps, WANTED, TOLERANCE)
        steps.append(count[0])
        run = lanczos(operator, torch.randn(size), 60)
        exact.append(run.values[run.largest(WANTED)])
    their_name = "hessian-eigenthings"
    compared = importlib.util.find_spec(their_name.replace("-", "_")) is not None
    times = []
    for _ in range(REPEATS):
        gradient = seconds(lambda: torch.autograd.grad(F.cross_entropy(module(features), labels), parameters))
        own = seconds(lambda: ours(module, features, labels))
        theirs = seconds(lambda: with_eigenthings(module, features, labels, steps)) if compared else float("nan")
        times.append((gradient, own, theirs))
    gradient_s, ours_s, other_s = (min(column) for column in zip(*times, strict=True))
    print(f"cnn, batch 128, top {WANTED} eigenvalues ({steps} Lanczos steps a layer) and trace ({PROBES} probes):")
    tops = [[float(value) for value in block.top] for block in ours(module, features, labels)]
    print(f"  one gradient {1e3 * gradient_s:.1f} ms; ours {1e3 * ours_s:.0f} ms = {ours_s / gradient_s:.0f} gradients")
    print(f"  largest relative error of an eigenvalue {worst(tops, exact):.1e}")
    if not compared:
        print(f'  {their_name} is not installed (pip install -e ".[bench]"): not compared')
        return int(ours_s / gradient_s > MOST_GRADIENTS)
    error = worst(with_eigenthings(module, features, labels, steps), exact)
    print(f"  {their_name} {1e3 * other_s:.0f} ms (error {error:.1e}): ours is {other_s / ours_s:.2f} times as fast")
    return int(ours_s / gradient_s > MOST_GRADIENTS or other_s / ours_s < LEAST_RATIO)


if __name__ == "__main__":
    sys.exit(main())
