"""Clients that are mixtures of labels without groups: they hardly ever have clusters, and planted groups still do."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from metrics.clusters.mixture import leading_distances, mixture_distances
from metrics.clusters.number import NumberRule
from tests.support.planted_clusters import cosine, euclidean, planted

QUICK = NumberRule(references=19)


def mixtures(generator: np.random.Generator, clients: int) -> np.ndarray:
    """Return updates of clients whose ten labels are mixed by a Dirichlet distribution: no groups."""
    shares = generator.dirichlet(np.full(10, 0.5), clients)
    directions, noise = generator.standard_normal((10, 200)), generator.standard_normal((clients, 200))
    found: np.ndarray = shares @ directions + 0.1 * noise
    return found


def share_with_clusters(distances: Callable[[np.random.Generator], np.ndarray], repetitions: int) -> float:
    generator = np.random.default_rng(0)
    return float(np.mean([QUICK.choose(distances(generator), seed).number > 1 for seed in range(repetitions)]))


def test_leading_coordinates_are_those_of_the_points() -> None:
    points = np.random.default_rng(0).standard_normal((9, 4)) * np.array([9, 5, 1, 0.5])
    points -= points.mean(0)
    left, singular, _ = np.linalg.svd(points, full_matrices=False)
    for directions in (1, 2, 4):
        expected = euclidean(left[:, :directions] * singular[:directions])
        np.testing.assert_allclose(leading_distances(euclidean(points), directions), expected, atol=1e-7)
        np.testing.assert_allclose(leading_distances(euclidean(points) ** 2, directions), expected, atol=1e-6)


def test_mixtures_have_the_variances_of_the_leading_directions() -> None:
    distances = euclidean(planted((4, 4, 4), 20)[0])
    for reference in itertools.islice(mixture_distances(distances, 3, np.random.default_rng(0)), 3):
        assert (reference == reference.T).all() and not np.diag(reference).any()
        # Σ d² / n over pairs is the variance summed over directions.
        expected = np.square(leading_distances(distances, 2)).sum()
        assert np.square(reference).sum() == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("clients", "repetitions"), [(5, 80), (8, 80), (20, 40)])
def test_label_mixtures_hardly_ever_have_clusters(clients: int, repetitions: int) -> None:
    # Without the test against mixtures 0.05, 0.15 and 0.3 of them had; with it 0.01, 0.03 and 0.01 of 120.
    found = share_with_clusters(lambda generator: cosine(mixtures(generator, clients)), repetitions)
    assert found <= 0.07


@pytest.mark.parametrize(
    ("sizes", "separation", "least"),
    [((3, 3, 3, 3), 1.0, 0.95), ((4, 4), 1.0, 0.7), ((6, 6), 3.0, 1.0)],
    ids=["four", "two, near", "two, far"],
)
def test_planted_groups_still_have_clusters(sizes: tuple[int, ...], separation: float, least: float) -> None:
    def distances(generator: np.random.Generator) -> np.ndarray:
        return cosine(planted(sizes, 200, separation, int(generator.integers(1 << 30)))[0])

    assert share_with_clusters(distances, 20) >= least
