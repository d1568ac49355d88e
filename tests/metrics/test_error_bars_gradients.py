"""Gradients and clients drawn again and again: how often value ± t(n − 1) · stderr covers what they were drawn from."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from fedlayers.core.layers import Layer, Parameter
from metrics.example_gradients.gradient_statistics import GradientSample, scatter
from metrics.sensitivity import BatchScores
from metrics.statistics.between_clients import decompose
from metrics.statistics.taylor_scores import cumulative_scores

ONE = (Layer("w", 0, "other", "w", (Parameter("w", "weight", (30,)),), ()),)


def coverage(found: Sequence[object], truth: Mapping[str, float], n: int) -> dict[str, float]:
    """Return the share of the results whose interval holds the truth, of those with an error."""
    shares = {}
    for name, value in truth.items():
        pairs = [(getattr(one, name), one.errors[name]) for one in found if one.errors[name] is not None]  # type: ignore[attr-defined]
        values, errors = np.array(pairs, dtype=float).T
        shares[name] = float(np.mean(np.abs(values - value) <= student.ppf(0.975, n - 1) * errors))
    return shares


@pytest.mark.slow
@pytest.mark.parametrize("n", [64, 512])
@pytest.mark.parametrize("strength", [3.0, 30.0])
def test_intervals_cover_norm_and_noise(n: int, strength: float) -> None:
    """Vectors of unequal variances and lengths (log-normal), |G|² = strength · tr Σ / n."""
    generator = torch.Generator().manual_seed(n)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    scales = torch.linspace(1, 0.1, 30, dtype=torch.float64) ** 2
    trace = float(scales.square().sum())
    mean = normal(30) * scales
    mean *= (strength * trace / n) ** 0.5 / mean.norm()
    found = []
    for _ in range(250):
        vectors = mean + normal(n, 30) * scales * torch.exp(0.5 * normal(n, 1) - 0.25)
        own = vectors.mean(0)
        found.append(scatter(GradientSample({"w": own}, {"w": vectors.square().sum(1)}, {"w": vectors @ own}), ONE))
    signal = float(mean.square().sum())
    # The plain norm is compared with its own mean, which holds the noise; a variance of few examples is skewed.
    truth = {
        "norm": float(np.mean([one.norm for one in found])), "debiased": signal**0.5,
        "trace": trace, "snr": signal / trace, "noise_scale": trace / signal,
    }  # fmt: skip
    for name, share in coverage(found, truth, n).items():
        least = 0.82 if n < 100 and name in ("trace", "noise_scale") else 0.90
        # Errors are wide where the gradient is hardly more than noise.
        assert least <= share <= (1.0 if strength < 10 else 0.985), (name, share)


@pytest.mark.slow
@pytest.mark.parametrize("clients", [3, 5, 20])
@pytest.mark.parametrize("apart", [0.0, 0.5])
def test_intervals_cover_the_variance_between_clients(clients: int, apart: float) -> None:
    generator = torch.Generator().manual_seed(clients)
    shares = 1 + 4 * torch.rand(clients, generator=generator, dtype=torch.float64)
    shares /= shares.sum()
    found = []
    for _ in range(400):
        centres = apart * torch.randn(clients, 1, 20, generator=generator, dtype=torch.float64)
        vectors = centres + torch.randn(clients, 16, 20, generator=generator, dtype=torch.float64)
        means = vectors.mean(1)
        deviations = (means - shares @ means).square().sum(1)
        traces = (vectors - means[:, None]).square().sum((1, 2)) / 15
        found.append(decompose(deviations, traces, torch.full((clients,), 16.0, dtype=torch.float64), shares))
    between = apart**2 * 20 * (1 - float(shares.square().sum()))
    truth = {"between": between, "within": 20.0, "ratio": between / (between + 20)}
    for name, share in coverage(found, truth, clients).items():
        assert 0.90 <= share <= 0.98, (name, share)


@pytest.mark.parametrize("examples", [4, 64])
def test_intervals_cover_sensitivity_and_chance_is_its_noise(examples: int) -> None:
    """Two layers on eight batches: the value holds the noise of a batch, value − chance does not."""
    generator = torch.Generator().manual_seed(examples)
    weights, means = (torch.randn(2, 20, generator=generator, dtype=torch.float64) for _ in range(2))
    means *= 0.3
    signal = (weights * means).square().sum(1)
    truth = signal + weights.square().sum(1) / examples
    found, ratios = [], []
    for _ in range(400):
        scores = BatchScores(2)
        for _ in range(8):
            noise = torch.randn(examples, 2, 20, generator=generator, dtype=torch.float64).mean(0)
            for layer in range(2):
                scores.add(layer, [weights[layer]], [means[layer] + noise[layer]])
        values = torch.stack([scores.scores(layer) for layer in range(2)])
        found.append([*values.mean(1), *(values.std(1) / 8**0.5), *(scores.noise(layer) or 0.0 for layer in range(2))])
        cumulative = cumulative_scores(values)
        ratios.append((cumulative.values[1], cumulative.errors[1]))
    table, sums = np.array(found, dtype=float), np.array(ratios, dtype=float)
    width = student.ppf(0.975, 7)
    for layer in range(2):
        value, error, chance = table[:, layer], table[:, 2 + layer], table[:, 4 + layer]
        assert 0.90 <= np.mean(np.abs(value - float(truth[layer])) <= width * error) <= 0.98
        assert (value - chance).mean() == pytest.approx(float(signal[layer]), rel=0.06)
        assert chance.mean() == pytest.approx(float(truth[layer] - signal[layer]), rel=0.06)
    expected = 1 + float(truth[1] / truth[0])
    assert 0.90 <= np.mean(np.abs(sums[:, 0] - expected) <= width * sums[:, 1]) <= 0.985
