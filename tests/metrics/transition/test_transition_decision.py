"""Planted transitions are found, and where there is none, none is, as rarely as the error rate says."""

import numpy as np
import pytest

from metrics.transition.consensus import consensus_profiles
from metrics.transition.decision import Transition, agreement, find_transition
from metrics.transition.evidence.sensitivity import sensitivity_rise
from metrics.transition.resampling import bootstrap_weights


def federation(means: list[float], random: np.random.Generator, clients: int, spread: float) -> np.ndarray:
    """Return the profiles of clients whose batches have log-normal scores of these means, shape (K, R + 1, L)."""
    scores = np.array(means)[:, None] * random.lognormal(-(spread**2) / 2, spread, (clients, len(means), 8))
    return np.stack([sensitivity_rise(own, bootstrap_weights(8, 300, random)) for own in scores])


def common(profiles: np.ndarray, random: np.random.Generator) -> Transition:
    return find_transition(consensus_profiles(profiles, random), len(profiles))


@pytest.mark.parametrize("shared", [2, 3, 4, 5])
def test_planted_transitions_are_recovered_by_all_clients(shared: int) -> None:
    random = np.random.default_rng(shared)
    means = [1.0, *[0.01] * (shared - 1), *[2.0] * (6 - shared)]
    profiles = federation(means, random, clients=5, spread=0.4)
    found = common(profiles, random)
    assert (found.shared, found.low, found.high, found.confidence) == (shared, shared, shared, 1)
    assert [find_transition(own, 8).shared for own in profiles] == [shared] * 5


NULLS = {
    "flat scores": [1.0] * 5,
    "steady growth": [1.0, 1.0, 2.0, 4.0, 8.0],
    "a plateau without end": [1.0, 0.02, 0.02, 0.02, 0.02],
    # The hardest: the second layer is at the threshold itself.
    "a second layer at the threshold": [1.0, 0.15, 0.02, 0.02, 5.0],
    "a last layer at the threshold": [1.0, 0.05, 0.05, 0.03, 0.02],
}


@pytest.mark.parametrize("means", NULLS.values(), ids=NULLS)
@pytest.mark.parametrize(("clients", "trials"), [(1, 200), (5, 80)])
def test_without_a_transition_one_is_found_as_rarely_as_said(means: list[float], clients: int, trials: int) -> None:
    random = np.random.default_rng(0)
    found = 0
    for _ in range(trials):
        profiles = federation(means, random, clients, spread=0.5)
        result = common(profiles, random) if clients > 1 else find_transition(profiles[0], 8)
        found += result.shared is not None
    # 5 %, and two and a half standard deviations of the count.
    assert found <= 0.05 * trials + 2.5 * np.sqrt(trials * 0.05 * 0.95)


def test_a_place_that_is_not_sure_has_an_interval() -> None:
    random = np.random.default_rng(1)
    found = common(federation([1.0, 0.03, 0.03, 0.09, 4.0], random, clients=5, spread=0.6), random)
    assert found.low is not None and found.low < 4 and found.high == 4
    assert found.shared in (3, 4) and 0.2 < found.confidence < 1
    assert (found.lower <= found.profile).all() and (found.profile <= found.upper).all()


@pytest.mark.parametrize(
    ("profiles", "units", "reason"),
    [
        (
            np.tile([0.0, 3.0, 6.0], (50, 1)),
            8,
            "above the threshold (3 of it, 95 % interval 3 to 3): the profile rises",
        ),
        (
            np.tile([0.0, 0.1, 0.2], (50, 1)),
            8,
            "below the threshold (0.2 of it, 95 % interval 0.2 to 0.2): the profile",
        ),
        (
            np.tile([[0.0, 0.1, 9.0], [0.0, 3.0, 9.0]], (50, 1)),
            8,
            "not surely below the threshold (0.1 of it, 95 % int",
        ),
        (np.tile([[0.0, 0.1, 9.0], [0.0, 0.1, 0.2]], (50, 1)), 8, "the profile may stay flat"),
        (np.tile([0.0, 9.0], (50, 1)), 8, "2 layers with weights are too few"),
        (np.tile([0.0, 0.1, np.nan], (50, 1)), 8, "the measure has no value in layer 3 of 3"),
        (np.tile([0.0, 0.1, 9.0], (50, 1)), 1, "one batch or client has no uncertainty"),
        (np.concatenate([np.tile([0.0, 0.1, 9.0], (80, 1)), np.full((20, 3), np.nan)]), 8, "the second layer is not"),
    ],
)
def test_none_is_said_with_its_reason(profiles: np.ndarray, units: int, reason: str) -> None:
    found = find_transition(profiles, units)
    assert found.shared is None and found.low is None and found.high is None and np.isnan(found.confidence)
    assert reason in found.reason


def test_a_client_that_knows_nothing_does_not_decide() -> None:
    random = np.random.default_rng(2)
    profiles = federation([1.0, 0.01, 0.01, 3.0], random, clients=4, spread=0.2)
    profiles[2] = np.nan
    assert common(profiles, random).shared == 3
    assert np.isnan(consensus_profiles(np.full((3, 5, 4), np.nan), random)).all()


def test_the_order_of_clients_does_not_matter_to_the_profile() -> None:
    profiles = federation([1.0, 0.2, 0.2, 3.0], np.random.default_rng(3), clients=5, spread=0.5)
    forth, back = (consensus_profiles(own, np.random.default_rng(0)) for own in (profiles, profiles[::-1]))
    assert np.array_equal(forth[0], back[0])


def test_none_is_a_choice_that_clients_may_agree_on() -> None:
    assert agreement([None, None, 3], None) == pytest.approx(2 / 3)
