"""What anchors predict, and how far predictions are apart, against scikit-learn, SciPy and the definitions."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import ortho_group
from sklearn.metrics import accuracy_score, log_loss
from sklearn.metrics.pairwise import cosine_similarity
from torch import Tensor

from metrics.geometry.chance import Chance
from metrics.readouts.anchors.anchor_accuracy import anchor_hits
from metrics.readouts.anchors.anchor_alignment import anchor_cosines
from metrics.readouts.anchors.anchor_cross_entropy import anchor_log_probabilities
from metrics.readouts.anchors.anchor_margin import anchor_margins
from metrics.readouts.jensen_shannon import jensen_shannon
from metrics.readouts.labelled_mean import labelled_mean
from metrics.readouts.reading import below_chance
from metrics.readouts.shuffled_pairs import paired_mean


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int = 60, d: int = 7, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return features, anchors and labels that have nothing to do with each other."""
    random = generator(seed)
    features, anchors = torch.randn(n, d, generator=random), torch.randn(classes, d, generator=random)
    return features, anchors, torch.randint(classes, (n,), generator=random)


def labellings(labels: Tensor, count: int = 199, seed: int = 1) -> Tensor:
    random = generator(seed)
    return torch.cat([labels[None], labels[torch.rand(count, len(labels), generator=random).argsort(1)]])


def predictions(n: int = 50, classes: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(n, classes, generator=generator(seed), dtype=torch.float64).log_softmax(1)


def test_readings_equal_those_of_scikit_learn() -> None:
    features, anchors, labels = drawn()
    scores = anchor_cosines(features, anchors)
    assert torch.allclose(scores, torch.from_numpy(cosine_similarity(features.double(), anchors.double())), atol=1e-12)
    own = labellings(labels)
    accuracy = labelled_mean(anchor_hits(scores), own)
    assert accuracy.value == accuracy_score(labels, scores.argmax(1))
    for temperature in (1.0, 0.1):
        log_q = anchor_log_probabilities(scores, temperature)
        loss = labelled_mean(-log_q, own, "lower")
        assert loss.value == pytest.approx(log_loss(labels, log_q.exp().numpy(), labels=range(4)), rel=1e-12)
        assert loss.stderr == pytest.approx(float(log_q[torch.arange(60), labels].std()) / math.sqrt(60), rel=1e-12)


def test_the_margin_is_that_to_the_nearest_other_anchor() -> None:
    features, anchors, _ = drawn()
    cosines = anchor_cosines(features, anchors)
    margins = anchor_margins(cosines)
    for i, c in np.ndindex(*cosines.shape):
        others = [float(cosines[i, k]) for k in range(4) if k != c]
        assert float(margins[i, c]) == pytest.approx(float(cosines[i, c]) - max(others), abs=1e-12)
    assert bool(((margins > 0) == (anchor_hits(cosines) == 1)).all())


def test_a_perfect_predictor_and_one_of_two_classes() -> None:
    labels = torch.arange(40) % 2
    anchors = torch.eye(2)
    cosines = anchor_cosines(anchors[labels] * 3, anchors)
    own = labellings(labels)
    for terms, value in ((anchor_hits(cosines), 1.0), (cosines, 1.0), (anchor_margins(cosines), 1.0)):
        found = labelled_mean(terms, own)
        assert (found.value, found.chance.p) == (value, 1 / 200)


def test_scale_and_rotation_change_no_reading_of_cosines() -> None:
    features, anchors, _ = drawn()
    turn = torch.from_numpy(ortho_group.rvs(7, random_state=0))
    turned = anchor_cosines(1e3 * features.double() @ turn, anchors.double() @ turn)
    assert torch.allclose(turned, anchor_cosines(features, anchors), atol=1e-12)


def test_zeros_have_no_direction() -> None:
    cosines = anchor_cosines(torch.tensor([[0.0, 0.0], [1e-30, 0.0]]), torch.eye(2))
    assert cosines.tolist() == [[0.0, 0.0], [1.0, 0.0]]


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_without_information_p_is_uniform(direction: str) -> None:
    found = []
    for seed in range(200):
        features, anchors, labels = drawn(seed=seed)
        terms = anchor_cosines(features, anchors) * (1 if direction == "higher" else -1)
        found.append(labelled_mean(terms, labellings(labels, 39, seed), direction).chance)
    beyond = np.mean([one.p is not None and one.p <= 0.05 for one in found])
    assert 0.01 <= beyond <= 0.1


def test_chance_of_a_mean_is_that_of_independent_labels() -> None:
    features, anchors, labels = drawn(400)
    hits = anchor_hits(anchor_cosines(features, anchors))
    found = labelled_mean(hits, labellings(labels, 999)).chance
    shares = torch.bincount(labels, minlength=4).double() / 400
    assert found.chance == pytest.approx(float(shares @ hits.mean(0)), abs=0.003)


def test_without_shuffles_nothing_is_known_of_chance() -> None:
    features, anchors, labels = drawn()
    assert labelled_mean(anchor_cosines(features, anchors), labels[None]).chance == Chance()
    assert below_chance(0.5, torch.empty(0)) == Chance()


def test_the_divergence_equals_that_of_scipy() -> None:
    p, q = predictions(seed=0).exp(), predictions(seed=1).exp()
    expected = [jensenshannon(*pair) ** 2 for pair in zip(p.numpy(), q.numpy(), strict=True)]
    assert jensen_shannon(p, q).tolist() == pytest.approx(expected, rel=1e-9)
    assert torch.equal(jensen_shannon(p, q), jensen_shannon(q, p))
    assert float(jensen_shannon(p, p).max()) < 1e-12
    sure = torch.eye(4, dtype=torch.float64)
    assert jensen_shannon(sure, sure.flip(1)).tolist() == pytest.approx([math.log(2)] * 4)


def test_shuffled_examples_are_further_apart_than_those_that_belong_together() -> None:
    own = 3 * predictions(200)
    near = (own + 0.1 * torch.randn(own.shape, generator=generator(5))).log_softmax(1)
    orders = torch.stack([torch.randperm(200, generator=generator(seed)) for seed in range(19)])
    found = paired_mean(lambda p, q: jensen_shannon(p.exp(), q.exp()), own.log_softmax(1), near, orders)
    assert found.chance.chance is not None and found.value < 0.1 * found.chance.chance and found.chance.p == 0.05
    unrelated = paired_mean(
        lambda p, q: jensen_shannon(p.exp(), q.exp()), own.log_softmax(1), 3 * predictions(200, seed=9), orders
    )
    assert unrelated.chance.p is not None and unrelated.chance.p > 0.05
