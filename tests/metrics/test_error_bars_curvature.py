"""Hessian blocks of trained networks, whole against what a few products say: ranks, and how often intervals cover."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import t as student
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch import Tensor, nn

from fedlayers.core.layers import layers_of
from metrics.curvature import Curvature
from metrics.hessian.block import Effort, HessianBlock, analyse_block
from metrics.hessian.density import summaries
from metrics.hessian.products import GradientGraph

EFFORT = Curvature(dense_below=0).effort
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


@cache
def blocks(data: Callable[..., Tensor], activation: str, steps: int, seed: int = 0) -> dict[str, Tensor]:
    """Return the Hessian blocks of a small network's layers after some steps of training, on 128 examples."""
    features, labels = (torch.tensor(part) for part in data(return_X_y=True))
    features = ((features - features.mean(0)) / features.std(0).clamp(min=1e-6)).float()[:, ::2]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        make = ACTIVATIONS[activation]
        classes, width = int(labels.max()) + 1, features.shape[1]
        module = nn.Sequential(nn.Linear(width, 24), make(), nn.Linear(24, 20), make(), nn.Linear(20, classes))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
        for _ in range(steps):
            chosen = torch.randint(len(labels), (32,))
            optimizer.zero_grad()
            F.cross_entropy(module(features[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        chosen = torch.randperm(len(labels))[:128]
    layers = layers_of(module)
    graph = GradientGraph(module.eval(), layers, features[chosen], labels[chosen])
    sizes = {layer: sum(module.get_parameter(name).numel() for name in layer.names) for layer in layers}
    found = {layer.name: graph.products(layer, torch.eye(size)) for layer, size in sizes.items()}
    return {name: (block + block.T) / 2 for name, block in found.items()}


def analysed(block: Tensor, seed: int, effort: Effort = EFFORT) -> HessianBlock:
    return analyse_block(lambda v: v @ block, torch.zeros(len(block)), effort, torch.Generator().manual_seed(seed))


def largest(block: Tensor, count: int = 5) -> np.ndarray:
    values = torch.linalg.eigvalsh(block.double()).numpy()
    return np.asarray(values[np.argsort(-np.abs(values))][:count])


@pytest.mark.slow
@pytest.mark.parametrize("data", [load_digits, load_wine, load_breast_cancer])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("density_runs", [0, 4])
def test_no_eigenvalue_is_skipped(data: Callable[..., Tensor], activation: str, density_runs: int) -> None:
    effort = Curvature(dense_below=0, density_runs=density_runs).effort
    for block in blocks(data, activation, 40).values():
        expected = np.abs(largest(block))
        for seed in range(8):
            found = analysed(block, seed, effort)
            known = found.converged
            np.testing.assert_allclose(np.abs(found.top)[known], expected[: len(known)][known], rtol=5e-3)
            assert known[:3].all()


def test_equal_eigenvalues_are_all_found() -> None:
    for values in ([3.0, 3.0, 3.0, -2.0, -2.0, 0.1, 0.0, 0.0], [1.0] * 8, [2.0, 2.0, 0, 0, 0, 0, 0, 0]):
        basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1))).Q
        found = analysed(basis @ torch.diag(torch.tensor(values)) @ basis.T, 0)
        # Zeros end the search: the rest of the block is known to be zero.
        assert found.top == pytest.approx(values[: len(found.top)], abs=1e-5) and found.converged.all()
        assert len(found.top) == 5 or values[len(found.top)] == 0


def test_a_start_without_a_part_along_an_eigenvector_misses_nothing() -> None:
    """The first vector of signs is orthogonal to the third eigenvector: 1, −1 in two of its equal signs."""
    start = torch.randint(2, (1, 60), generator=torch.Generator().manual_seed(0)).mul(2).sub(1).float()[0]
    first, other = torch.nonzero(start > 0).flatten()[:2].tolist()
    blind = torch.zeros(60)
    blind[first], blind[other] = 0.5**0.5, -(0.5**0.5)
    rest = torch.linalg.qr(
        torch.cat([blind[:, None], torch.randn(60, 59, generator=torch.Generator().manual_seed(2))], 1)
    ).Q
    values = torch.cat([torch.tensor([0.64, 2.0, 1.0, 0.9, 0.52, 0.4]), 0.2 * torch.linspace(-1, 1, 54)])
    found = analysed(rest @ torch.diag(values) @ rest.T, 0)
    assert found.top == pytest.approx([2.0, 1.0, 0.9, 0.64, 0.52], rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "activation", "steps"),
    [(load_digits, "tanh", 40), (load_wine, "tanh", 0), (load_breast_cancer, "gelu", 40), (load_wine, "relu", 40)],
)
def test_intervals_cover_sums_over_the_spectrum(data: Callable[..., Tensor], activation: str, steps: int) -> None:
    found = blocks(data, activation, steps)
    for block in (found["0"], found["2"]):
        values = torch.linalg.eigvalsh(block.double()).numpy()
        truth = summaries(values, [], len(values))
        drawn = [analysed(block, seed) for seed in range(30)]
        for name in ("negative_share", "nuclear", "skewness", "small_share"):
            pairs = [(getattr(one.summaries, name).value, getattr(one.summaries, name).error) for one in drawn]
            estimates, errors = np.array(pairs, dtype=float).T
            apart = np.abs(estimates - getattr(truth, name).value)
            covered = np.mean(apart <= student.ppf(0.975, EFFORT.density_runs - 1) * errors + 1e-5)
            assert covered >= 0.86, (name, covered)
        traces = np.array([(one.trace.trace, one.trace.trace_error, one.trace.probes) for one in drawn]).T
        widths = student.ppf(0.975, traces[2] - 1) * traces[1]
        assert 0.80 <= np.mean(np.abs(traces[0] - values.sum()) <= widths) <= 1.0
