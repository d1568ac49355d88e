"""Lanczos, Hutchinson and quadrature on matrices whose spectrum is known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.hessian.block import Effort, analyse_block
from metrics.hessian.density import spectral_density, summaries
from metrics.hessian.lanczos import lanczos
from metrics.hessian.trace import hutchinson, signs

EFFORT = Effort(5, 60, 1e-3, (8, 32), 0.0, 4, 30, 0)


def matrix(values: Tensor, seed: int = 0) -> Tensor:
    """Return a symmetric matrix of the given eigenvalues, in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64)).Q
    found: Tensor = basis @ torch.diag(values.double()) @ basis.T
    return found


def hessian_like(size: int = 200) -> Tensor:
    """Return eigenvalues as deep networks have them: a bulk around zero and a few outliers."""
    bulk = 0.05 * torch.randn(size - 6, generator=torch.Generator().manual_seed(1))
    return torch.cat([bulk, torch.tensor([5.0, 3.0, -2.0, 1.5, 1.0, 0.7])])


def test_lanczos_finds_the_largest_with_their_signs() -> None:
    values = hessian_like()
    h = matrix(values)
    run = lanczos(lambda v: h @ v, torch.ones(200, dtype=torch.float64), 80, wanted=5, tolerance=1e-6)
    assert run.values[run.largest(5)] == pytest.approx([5.0, 3.0, -2.0, 1.5, 1.0], rel=1e-9)
    assert len(run.values) < 60 and run.converged(5, 1e-6).all()


def test_all_steps_give_all_eigenvalues() -> None:
    values = torch.linspace(-1, 2, 40)
    h = matrix(values)
    run = lanczos(lambda v: h @ v, torch.ones(40, dtype=torch.float64), 99)
    assert run.values == pytest.approx(values.numpy(), abs=1e-8)
    assert run.weights.sum() == pytest.approx(1)


def test_residuals_bound_the_error() -> None:
    h = matrix(hessian_like())
    exact = torch.linalg.eigvalsh(h).numpy()
    run = lanczos(lambda v: h @ v, torch.ones(200, dtype=torch.float64), 12)
    for value, residual in zip(run.values, run.residuals, strict=True):
        assert np.abs(exact - value).min() <= residual + 1e-12


def test_an_invariant_subspace_ends_it() -> None:
    h = torch.diag(torch.tensor([4.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64))
    run = lanczos(lambda v: h @ v, torch.ones(5, dtype=torch.float64), 5)
    assert run.complete
    assert run.values == pytest.approx([0, 1, 4], abs=1e-9)
    assert run.weights == pytest.approx([0.6, 0.2, 0.2])
    zero = lanczos(torch.zeros_like, torch.ones(5), 5)
    assert zero.complete and zero.values.tolist() == [0.0]


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="a product with the Hessian is not finite"):
        lanczos(lambda v: v * torch.nan, torch.ones(4), 3)
    with pytest.raises(ValueError, match="a product with the Hessian is not finite"):
        hutchinson(lambda v: v * torch.inf, lambda k: torch.ones(k, 4), 2, 4, 0)
    with pytest.raises(ValueError, match="a product with the Hessian is not finite"):
        analyse_block(lambda v: v * torch.nan, torch.ones(4), Effort(1, 3, 0.1, (2, 4), 0, 0, 2, 8), torch.Generator())


def test_basis_vectors_give_the_exact_trace() -> None:
    h = matrix(hessian_like(20))
    scaled = iter(torch.split(math.sqrt(20) * torch.eye(20, dtype=torch.float64), 4))
    found = hutchinson(lambda v: v @ h, lambda _: next(scaled), 2, 20, 0.0)
    assert found.trace == pytest.approx(float(h.trace()), rel=1e-12)
    assert found.frobenius == pytest.approx(float(h.square().sum().sqrt()), rel=1e-12)
    assert found.probes == 20


@pytest.mark.parametrize("kind", ["signs", "gaussian"])
def test_the_variance_of_a_probe_is_its_formula(kind: str) -> None:
    h = matrix(hessian_like(50))
    generator = torch.Generator().manual_seed(0)
    if kind == "signs":
        vectors = signs(100_000, 50, generator).double()
        expected = 2 * (h.square().sum() - h.diagonal().square().sum())
    else:
        vectors = torch.randn(100_000, 50, generator=generator, dtype=torch.float64)
        expected = 2 * h.square().sum()
    samples = ((vectors @ h) * vectors).sum(1)
    assert float(samples.var()) == pytest.approx(float(expected), rel=0.05)


def test_the_standard_error_is_the_spread_of_estimates() -> None:
    h, generator = matrix(hessian_like(50)), torch.Generator().manual_seed(0)
    found = [hutchinson(lambda v: v @ h, lambda k: signs(k, 50, generator).double(), 16, 16, 0.0) for _ in range(300)]
    spread = np.std([one.trace for one in found])
    assert np.sqrt(np.mean([one.trace_error**2 for one in found])) == pytest.approx(spread, rel=0.15)
    scatter = np.std([one.frobenius for one in found])
    assert np.mean([one.frobenius_error for one in found]) == pytest.approx(scatter, rel=0.25)
    assert np.mean([one.trace for one in found]) == pytest.approx(float(h.trace()), abs=float(spread))


def test_probing_stops_on_the_standard_error_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> Tensor:
        return signs(count, 50, generator).double()

    identity = hutchinson(lambda v: 3 * v, draw, 8, 64, 0.05)
    assert (identity.probes, identity.trace, identity.trace_error) == (8, 150.0, 0.0)
    negative = matrix(-hessian_like(50).abs())
    assert hutchinson(lambda v: v @ negative, draw, 2, 400, 0.05).trace_error <= 0.05 * 400
    # A trace around zero never counts as known by standing still.
    balanced = matrix(torch.cat([torch.ones(25), -torch.ones(25)]))
    assert hutchinson(lambda v: v @ balanced, draw, 2, 64, 0.05).probes == 64


def test_quadrature_sums_are_those_of_the_eigenvalues() -> None:
    values = hessian_like(400)
    h = matrix(values)
    generator = torch.Generator().manual_seed(0)
    block = analyse_block(lambda v: v @ h, torch.zeros(400, dtype=torch.float64), EFFORT, generator)
    assert block.summaries is not None
    singular, negative = values.abs().double(), values < 0
    exact = {
        "nuclear": float(singular.sum()),
        "negative_share": float(singular[negative].sum() / singular.sum()),
        "small_share": float((singular < 0.05).double().mean()),
    }
    for name, value in exact.items():
        found = getattr(block.summaries, name)
        assert found.error is not None
        assert found.value == pytest.approx(value, abs=4 * found.error + 0.02 * abs(value))
    assert block.top == pytest.approx([5.0, 3.0, -2.0, 1.5, 1.0], rel=1e-4)
    assert block.trace.trace == pytest.approx(float(values.sum()), abs=4 * block.trace.trace_error)
    assert not block.exact and math.isnan(block.condition)


def test_a_small_block_is_exact() -> None:
    values = torch.tensor([4.0, -2.0, 1.0, 0.5])
    h = matrix(values)
    effort = Effort(5, 60, 1e-3, (8, 32), 0.0, 4, 30, dense_below=4)
    block = analyse_block(lambda v: v @ h, torch.zeros(4, dtype=torch.float64), effort, torch.Generator())
    assert block.exact and block.summaries is not None
    assert block.top == pytest.approx([4.0, -2.0, 1.0, 0.5])
    assert block.trace.trace == pytest.approx(3.5) and block.trace.trace_error == 0
    assert block.trace.frobenius == pytest.approx(math.sqrt(16 + 4 + 1 + 0.25))
    assert block.condition == pytest.approx(8.0)
    assert block.summaries.nuclear.value == pytest.approx(7.5)
    assert block.summaries.negative_share.value == pytest.approx(2 / 7.5)
    singular = np.array([4.0, 2.0, 1.0, 0.5])
    skewness = np.mean((singular - singular.mean()) ** 3) / singular.std() ** 3
    assert block.summaries.skewness.value == pytest.approx(skewness)
    assert block.summaries.nuclear.error is None


def test_a_singular_block_has_no_condition() -> None:
    effort = Effort(2, 60, 1e-3, (8, 32), 0.0, 1, 30, dense_below=4)
    h = matrix(torch.tensor([4.0, 1.0, 0.0]))
    block = analyse_block(lambda v: v @ h, torch.zeros(3, dtype=torch.float64), effort, torch.Generator())
    assert math.isnan(block.condition)


def test_the_density_integrates_to_one_and_keeps_the_mean() -> None:
    values = hessian_like(300)
    h = matrix(values)
    generator = torch.Generator().manual_seed(0)
    runs = [lanczos(lambda v: h @ v, signs(1, 300, generator)[0].double(), 40) for _ in range(8)]
    x, y = spectral_density(np.empty(0), runs, 300)
    assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(x * y, x) == pytest.approx(float(values.mean()), abs=0.03)
    assert (y >= 0).all() and len(x) == 201
    equal_x, equal_y = spectral_density(np.full(4, 2.0), [], 4)
    assert np.trapezoid(equal_y, equal_x) == pytest.approx(1, abs=1e-3)


def test_a_flat_block_has_no_shares() -> None:
    found = summaries(np.zeros(5), [], 5)
    assert math.isnan(found.negative_share.value) and math.isnan(found.skewness.value)
    assert found.nuclear.value == 0
