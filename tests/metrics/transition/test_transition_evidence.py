"""What layer measures say about each layer, against closed forms and the measures themselves."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from metrics.functional import cka
from metrics.statistics.between_clients import decompose
from metrics.statistics.taylor_scores import cumulative_scores
from metrics.transition.evidence.combination import combined_rise
from metrics.transition.evidence.curvature import curvature_rise
from metrics.transition.evidence.gradient_share import gradient_share_rises
from metrics.transition.evidence.sensitivity import sensitivity_rise
from metrics.transition.evidence.similarity import block_similarities, similarity_rise
from metrics.transition.resampling import bootstrap_weights, expanded_level


def itself(batches: int) -> np.ndarray:
    return np.full((1, batches), 1 / batches)


def test_weights_are_the_sample_and_then_draws_from_it() -> None:
    weights = bootstrap_weights(8, 4000, np.random.default_rng(0))
    assert weights.shape == (4001, 8) and weights[0].tolist() == [1 / 8] * 8
    assert weights.sum(1) == pytest.approx(1) and set(np.unique(weights * 8)) <= set(range(9))
    # The mean of a resample has (B − 1) / B of the variance of the mean.
    sample = np.random.default_rng(1).standard_normal(8)
    assert (weights[1:] @ sample).var() == pytest.approx(sample.var(ddof=1) / 8 * 7 / 8, rel=0.1)
    again = bootstrap_weights(8, 4000, np.random.default_rng(0))
    assert np.array_equal(weights, again)


def test_an_expanded_interval_of_few_normal_values_errs_as_often_as_it_says() -> None:
    random, level = np.random.default_rng(2), expanded_level(0.05, 6)
    missed = 0.0
    for _ in range(400):
        sample = random.standard_normal(6)
        missed += float(np.quantile(bootstrap_weights(6, 600, random)[1:] @ sample, 1 - level) < 0)
    assert 0.02 < missed / 400 < 0.08


def test_sensitivity_is_the_cumulative_one_in_units_of_its_threshold() -> None:
    scores = np.random.default_rng(0).uniform(0, 2, (5, 6))
    known = np.array(cumulative_scores(torch.tensor(scores)).values)
    assert sensitivity_rise(scores, itself(6), 1.5)[0] == pytest.approx((known - 1) / 0.5)
    assert np.isnan(sensitivity_rise(np.zeros((3, 2)), itself(2))).all()


def test_curvature_is_the_highest_so_far_over_the_first() -> None:
    traces = np.array([[10.0, 30.0], [1.0, 3.0], [-2.0, -6.0], [50.0, 10.0], [5.0, 5.0]])
    assert curvature_rise(traces, itself(2), 1.5)[0] == pytest.approx([0, 0, 0, 1, 1])
    assert np.isnan(curvature_rise(-traces, itself(2))).all()


def test_the_share_between_clients_is_that_of_the_analysis_of_variance_on_average() -> None:
    random = np.random.default_rng(3)
    gradients = [random.standard_normal((1, 6, 40)) + random.standard_normal((1, 1, 40)) for _ in range(5)]
    noises = [own.var(1, ddof=1).sum() for own in gradients]
    shares = np.array(gradient_share_rises(gradients, [itself(6)] * 5))[:, 0, 0] / 2
    between = np.mean(shares / (1 - shares) * noises)
    means = np.stack([own.mean((0, 1)) for own in gradients])
    deviations = torch.tensor(((means - means.mean(0)) ** 2).sum(1))
    sizes, equal = torch.full((5,), 6.0, dtype=torch.float64), torch.full((5,), 0.2, dtype=torch.float64)
    # decompose estimates the variance of the K clients themselves, (K − 1) / K of that of where they come from.
    known = decompose(deviations, torch.tensor(noises), sizes, equal).between
    assert between == pytest.approx(known * 5 / 4)


def test_equal_clients_share_no_variance_on_average_and_nor_do_their_resamples() -> None:
    random, weights = np.random.default_rng(4), bootstrap_weights(6, 200, np.random.default_rng(5))
    found = np.concatenate(
        [gradient_share_rises([*random.standard_normal((4, 1, 6, 60))], [weights] * 4)[0][:, 0] for _ in range(60)]
    ).reshape(60, 201)
    assert abs(found[:, 0].mean()) < 0.02 and abs(found[:, 1:].mean()) < 0.02


def test_similarity_is_the_mean_debiased_cka_with_the_others() -> None:
    random = np.random.default_rng(6)
    common = random.standard_normal((24, 3))
    clients = np.stack([common @ random.standard_normal((3, 8)) + random.standard_normal((24, 8)) for _ in range(3)])
    values, chance = block_similarities(clients, 2)
    for block in range(2):
        x = clients[:, block * 12 : (block + 1) * 12]
        assert values[0, block] == pytest.approx((cka(x[0], x[1]) + cka(x[0], x[2])) / 2)
        assert chance[0, block] == pytest.approx((cka(x[0], np.roll(x[1], 6, 0)) + cka(x[0], np.roll(x[2], 6, 0))) / 2)


def test_unrelated_representations_have_risen_to_chance() -> None:
    random = np.random.default_rng(7)
    same = random.standard_normal((1, 400, 10))
    layers = [np.repeat(same, 4, 0), random.standard_normal((4, 400, 10))]
    values, chance = (np.stack(parts)[:, 0] for parts in zip(*(block_similarities(x, 8) for x in layers), strict=True))
    rise = similarity_rise(values, chance, itself(8))[0]
    assert rise[0] == pytest.approx(0, abs=1e-9) and rise[1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("rise", [sensitivity_rise, curvature_rise])
def test_the_scale_of_the_loss_does_not_matter(rise: Callable[..., np.ndarray]) -> None:
    scores = np.random.default_rng(8).uniform(1, 2, (5, 6))
    weights = bootstrap_weights(6, 5, np.random.default_rng(0))
    assert rise(1e6 * scores, weights) == pytest.approx(rise(scores, weights))


def test_the_scale_of_gradients_does_not_matter() -> None:
    gradients = [np.random.default_rng(seed).standard_normal((3, 4, 9)) for seed in range(3)]
    scaled = [1e5 * own for own in gradients]
    weights = [itself(4)] * 3
    assert gradient_share_rises(scaled, weights)[1] == pytest.approx(gradient_share_rises(gradients, weights)[1])
    assert np.isnan(gradient_share_rises(gradients[:1], weights[:1])[0]).all()


def test_all_rises_never_fall() -> None:
    random = np.random.default_rng(9)
    weights = bootstrap_weights(5, 50, random)
    rises = [
        sensitivity_rise(random.uniform(0, 1, (6, 5)), weights),
        curvature_rise(random.uniform(-1, 3, (6, 5)) + 1.1, weights),
        gradient_share_rises([*random.standard_normal((3, 6, 5, 8))], [weights] * 3)[1],
        similarity_rise(random.uniform(0, 1, (6, 5)), random.uniform(0, 0.2, (6, 5)), weights),
    ]
    for rise in [*rises, combined_rise(rises)]:
        assert rise.shape == (51, 6) and (np.diff(rise, axis=1) >= 0).all()


def test_most_measures_decide_and_one_that_is_missing_is_left_out() -> None:
    low, high, none = np.array([[0.0, 0.4]]), np.array([[0.0, 7.0]]), np.full((1, 2), np.nan)
    assert combined_rise([low, low, high]).tolist() == [[0, 0.4]]
    assert combined_rise([low, high, high, low]).tolist() == [[0, 0.4]]
    assert combined_rise([high, low, high, high, none]).tolist() == [[0, 7]]
    assert np.isnan(combined_rise([none, none])).all()
    half = np.array([[0.0, np.nan]])
    assert combined_rise([low, high, half])[0, 0] == 0 and np.isnan(combined_rise([low, high, half])[0, 1])
