"""What halves of the examples say about each other, against scikit-learn, naive twins and null cases."""

import numpy as np
import pytest
import torch
from scipy.stats import ortho_group
from sklearn.linear_model import Ridge
from sklearn.metrics import f1_score
from torch import Tensor
from torch.nn.functional import one_hot

from metrics.geometry.linear_probe import held_out_predictions, ridge_penalty, stratified_folds
from metrics.geometry.principal_coordinates import principal_coordinates
from metrics.readouts.halves.half_smoother import half_smoothers, joined
from metrics.readouts.halves.halves_probe import probe_predictions, probe_probabilities
from metrics.readouts.halves.ridge_r2 import held_out_r2
from metrics.readouts.halves.weighted_f1 import weighted_f1


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def labelled(n: int, d: int, classes: int, apart: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return normal features whose first units are shifted by their class, and the classes, at random."""
    labels = torch.randint(classes, (n,), generator=generator(seed))
    features = normal(n, d, seed + 1000)
    features[:, :classes] += apart * one_hot(labels, classes)
    return features, labels


@pytest.mark.parametrize("d", [3, 20, 300])
@pytest.mark.parametrize("n", [101, 100])
def test_regressions_equal_those_of_scikit_learn(n: int, d: int) -> None:
    features, targets = normal(n, d) + 5, normal(n, 4, seed=1)
    halves = torch.arange(n) % 2
    smoothers = half_smoothers(features, halves, 4.0)
    assert sorted(torch.cat([one.held for one in smoothers]).tolist()) == list(range(n))
    for one in smoothers:
        x, m = features[one.training].numpy(), len(one.training)
        variances = np.linalg.eigvalsh(np.cov(x.T))[::-1][: min(m - 1, d)].copy()
        alpha = (m - 1) * ridge_penalty(torch.from_numpy(variances), m / 4)
        expected = Ridge(alpha).fit(x, targets[one.training]).predict(features[one.held].numpy())
        assert one.predict(targets).numpy() == pytest.approx(expected, rel=1e-8, abs=1e-9)
        assert one.weights.sum(1).numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("n", [101, 100])
def test_products_at_hand_change_nothing(n: int) -> None:
    features, halves = normal(n, 150) + 5, torch.arange(n) % 3 % 2
    centred = features - features.mean(0)
    for own, other in zip(
        half_smoothers(features, halves, 4.0, centred @ centred.T), half_smoothers(features, halves, 4.0), strict=True
    ):
        assert torch.equal(own.held, other.held)
        assert own.weights.numpy() == pytest.approx(other.weights.numpy(), abs=1e-10)


@pytest.mark.parametrize("d", [6, 200])
def test_predictions_are_those_of_the_other_linear_probe(d: int) -> None:
    """The cross-validated probe with two folds differs in the examples that set its penalty, and in nothing else."""
    features, labels = labelled(300, d, 3, 2.0)
    halves = stratified_folds(labels, 2, generator())
    both = torch.stack([labels, labels.flip(0)])
    own = probe_predictions(half_smoothers(features, halves, 4.0), both, 3)
    other = held_out_predictions(principal_coordinates(features), both, halves, 4.0)
    assert float((own == other).double().mean()) > 0.98


def test_scale_and_rotation_change_no_prediction() -> None:
    features, labels = labelled(120, 30, 4, 1.5)
    halves = stratified_folds(labels, 2, generator())
    turned = 1e4 * features @ torch.from_numpy(ortho_group.rvs(30, random_state=0)) + 3
    own, other = (joined(half_smoothers(x, halves, 4.0), one_hot(labels, 4)) for x in (features, turned))
    assert torch.allclose(own, other, atol=1e-8)


def test_probabilities_are_probabilities_that_agree_with_the_predictions() -> None:
    features, labels = labelled(200, 10, 4, 3.0)
    smoothers = half_smoothers(features, stratified_folds(labels, 2, generator()), 4.0)
    found = probe_probabilities(smoothers, labels, 4)
    assert float(found.min()) >= 0 and torch.allclose(found.sum(1), torch.ones(200, dtype=torch.float64))
    assert torch.equal(found.argmax(1), probe_predictions(smoothers, labels[None], 4)[0])


def test_noise_is_not_read() -> None:
    """The original's probe reads every label of such noise: it scores the examples that it was fitted to."""
    hits = []
    for seed in range(20):
        labels = torch.arange(128) % 10
        halves = stratified_folds(labels, 2, generator(seed))
        found = probe_predictions(half_smoothers(normal(128, 1024, seed), halves, 4.0), labels[None], 10)
        hits.append(float((found == labels).double().mean()))
    assert np.mean(hits) == pytest.approx(0.1, abs=0.02)


def test_examples_that_do_not_vary_predict_the_mean() -> None:
    features, targets = torch.full((10, 5), 0.1), normal(10, 2)
    halves = torch.arange(10) % 2
    expected = targets[halves == 1].mean(0).expand(5, 2)
    assert torch.allclose(half_smoothers(features, halves, 4.0)[0].predict(targets), expected)


def test_f1_is_that_of_scikit_learn() -> None:
    labels, predictions = (torch.randint(5, (6, 40), generator=generator(seed)) for seed in (0, 1))
    predictions[:3, :30] = labels[:3, :30]
    expected = [
        f1_score(a, b, average="weighted", labels=a.unique(), zero_division=0)
        for a, b in zip(labels, predictions, strict=True)
    ]
    assert weighted_f1(labels, predictions, 7).tolist() == pytest.approx(expected, rel=1e-12)


def test_r2_is_that_of_a_loop_over_examples() -> None:
    features, targets = normal(60, 8), normal(60, 3, seed=1)
    targets[:, 0] += features[:, 1]
    halves = torch.arange(60) % 2
    found = held_out_r2(half_smoothers(features, halves, 4.0), targets)
    residual = total = 0.0
    for one in half_smoothers(features, halves, 4.0):
        for place, index in enumerate(one.held.tolist()):
            mean = targets[one.training].mean(0)
            residual += float((targets[index] - one.predict(targets)[place]).square().sum())
            total += float((targets[index] - mean).square().sum())
    assert found.value == pytest.approx(1 - residual / total, rel=1e-12)


def test_a_linear_map_is_found_and_noise_is_not() -> None:
    x = normal(400, 6)
    halves = torch.arange(400) % 2
    smoothers = half_smoothers(x, halves, 1.0)
    assert held_out_r2(smoothers, x @ normal(6, 9, seed=1) + 2).value == pytest.approx(1.0, abs=1e-6)
    noise = held_out_r2(smoothers, normal(400, 9, seed=2))
    assert noise.value < 0 and noise.value == pytest.approx(noise.chance.chance, abs=4 * (noise.stderr or 0))
    dead = torch.cat([x @ normal(6, 2, seed=1), torch.ones(400, 3)], 1)
    assert held_out_r2(smoothers, dead).value == pytest.approx(1.0, abs=1e-6)


def test_chance_of_r2_is_its_mean_over_shuffled_examples() -> None:
    smoothers, y = half_smoothers(normal(60, 40), torch.arange(60) % 2, 2.0), normal(60, 3, seed=1).exp()
    orders = [torch.randperm(60, generator=generator(seed)) for seed in range(400)]
    values = np.array([held_out_r2(smoothers, y[order]).value for order in orders])
    stated = held_out_r2(smoothers, y).chance.chance
    assert stated == pytest.approx(values.mean(), abs=4 * values.std() / 20 + 0.01)


def test_the_error_of_r2_is_its_spread_over_new_examples() -> None:
    """Given the regressions: fitted to few examples, then scored on many samples of others."""
    weights, found = normal(5, 4, seed=3), []
    for seed in range(150):
        x = normal(300, 5, seed)
        y = x @ weights + 2 * normal(300, 4, seed + 1000)
        found.append(held_out_r2(half_smoothers(x, torch.arange(300) % 2, 4.0), y))
    spread = np.std([one.value for one in found], ddof=1)
    assert np.mean([one.stderr for one in found if one.stderr]) == pytest.approx(spread, rel=0.25)
