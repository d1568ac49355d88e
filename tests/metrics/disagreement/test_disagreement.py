"""Disagreement of two predictors against slow twins, closed forms and planted partings."""

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, ttest_rel

from metrics.disagreement.depth import disagreement_by_depth, layer_readout
from metrics.disagreement.groups import disagreement_by_group
from metrics.disagreement.null_level import excess_disagreement
from metrics.disagreement.per_record import disagreement_over_rounds, record_disagreement, softmax


def predictions(n: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), n)


def test_disagreement_is_that_of_scipy() -> None:
    p, q = predictions(40, 5, 0), predictions(40, 5, 1)
    found = record_disagreement(p, q)
    np.testing.assert_allclose(
        found.divergence, [jensenshannon(a, b) ** 2 for a, b in zip(p, q, strict=True)], atol=1e-12
    )
    assert found.hard.tolist() == (p.argmax(1) != q.argmax(1)).tolist()
    np.testing.assert_allclose(found.confidence, p.max(1) - q.max(1))
    back, same = record_disagreement(q, p), record_disagreement(p, p)
    assert torch.equal(back.hard, found.hard) and torch.equal(back.confidence, -found.confidence)
    assert not same.hard.any() and float(same.divergence.max()) == 0 == float(same.confidence.abs().max())


def test_it_does_not_depend_on_the_order_of_classes_and_records() -> None:
    p, q = predictions(30, 4, 0), predictions(30, 4, 1)
    random = np.random.default_rng(0)
    records, classes = random.permutation(30), random.permutation(4)
    found = record_disagreement(p[records][:, classes], q[records][:, classes])
    expected = record_disagreement(p, q)
    torch.testing.assert_close(found.divergence, expected.divergence[records])
    assert torch.equal(found.hard, expected.hard[records])


def test_over_rounds() -> None:
    hard = np.random.default_rng(0).random((6, 20)) < 0.5
    found = disagreement_over_rounds(hard)
    for record in range(20):
        column = hard[:, record].tolist()
        runs = "".join("x" if one else "." for one in column)
        assert float(found.share[record]) == pytest.approx(sum(column) / 6)
        assert int(found.changes[record]) == runs.count("x.") + runs.count(".x")
        assert int(found.lasting[record]) == len(runs) - len(runs.rstrip("x"))


def test_the_excess_over_the_null_is_tested_as_scipy_does() -> None:
    random = np.random.default_rng(0)
    observed, null = random.random(80) < 0.3, random.random(80) < 0.15
    found = excess_disagreement(observed, null)
    more, less = int((observed & ~null).sum()), int((null & ~observed).sum())
    assert found.p == pytest.approx(binomtest(more, more + less, alternative="greater").pvalue)
    assert (found.value, found.null, found.n) == (observed.mean(), null.mean(), 80)
    graded = random.random(80), random.random(80) * 0.8
    expected = ttest_rel(*graded, alternative="greater")
    assert excess_disagreement(*graded).p == pytest.approx(expected.pvalue)
    assert excess_disagreement(*graded).excess / excess_disagreement(*graded).stderr == pytest.approx(
        expected.statistic
    )


def test_equal_disagreement_exceeds_nothing() -> None:
    same = np.random.default_rng(0).random(30)
    assert excess_disagreement(same, same).p == 1 and excess_disagreement(same > 0.5, same > 0.5).p == 1
    assert excess_disagreement(same + 0.1, same).p < 1e-9
    assert math.isnan(excess_disagreement(same[:1], same[1:2]).p)


def test_two_seeds_exceed_their_null_level_in_one_of_twenty_trials() -> None:
    random = np.random.default_rng(1)
    p = [excess_disagreement(random.exponential(size=60), random.exponential(size=60)).p for _ in range(400)]
    hard = [excess_disagreement(random.random(60) < 0.2, random.random(60) < 0.2).p for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) < 0.08 and np.mean(np.array(hard) <= 0.05) <= 0.06


def test_groups_add_up() -> None:
    values, labels = np.random.default_rng(0).random(50), np.random.default_rng(1).integers(0, 4, 50)
    found = disagreement_by_group(values, list(labels))
    assert [one.group for one in found] == [str(label) for label in dict.fromkeys(labels.tolist())]
    for one in found:
        inside = values[labels == int(one.group)]
        assert one.value == pytest.approx(inside.mean()) and one.n == len(inside)
        assert one.stderr == pytest.approx(inside.std(ddof=1) / np.sqrt(len(inside)))
    assert sum(one.n for one in found) == 50 and sum(one.share for one in found) == pytest.approx(1)
    (none,) = disagreement_by_group(np.zeros(1), ["all"])
    assert math.isnan(none.share) and math.isnan(none.stderr)


def readouts(seed: int, parted_from: int) -> list[torch.Tensor]:
    """Return read-outs of four layers; from a layer on they are those of other labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(120) % 3
    layers = []
    for layer in range(4):
        own = torch.where(torch.arange(120) % 2 == 0, (labels + 1) % 3, labels) if layer >= parted_from else labels
        logits = 2 * torch.eye(3)[own] + 0.3 * torch.randn(120, 3, generator=generator)
        layers.append(softmax(logits))
    return layers


@pytest.mark.parametrize("parted_from", [0, 2, 3])
def test_the_layer_from_which_models_part_is_found(parted_from: int) -> None:
    found = disagreement_by_depth(readouts(0, 4), readouts(1, parted_from), readouts(2, 4))
    assert found.parting == parted_from and len(found.layers) == 4


def test_models_of_two_seeds_part_nowhere() -> None:
    found = [
        disagreement_by_depth(readouts(s, 4), readouts(s + 100, 4), readouts(s + 200, 4)).parting for s in range(40)
    ]
    assert sum(one is not None for one in found) <= 4


def test_readouts_are_held_out() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(300) % 3
    noise = torch.randn(300, 100, generator=random)
    assert (layer_readout(noise, labels, 3).argmax(1) == labels).double().mean() < 0.45
    told = layer_readout(noise[:, :5] + 3 * torch.eye(5)[labels], labels, 3)
    assert (told.argmax(1) == labels).double().mean() > 0.9
    torch.testing.assert_close(told.sum(1), torch.ones(300).double())


def test_what_cannot_be_compared_is_told() -> None:
    p = predictions(4, 3, 0)
    with pytest.raises(ValueError, match=r"first must hold probabilities .* \(softmax .* got others in 4 of 4 records"):
        record_disagreement(p * 3, p)
    with pytest.raises(ValueError, match=r"second must have shape \(4, 3\) as first, got \(3, 3\)"):
        record_disagreement(p, p[:3])
    with pytest.raises(ValueError, match=r"first must have shape \(records, classes\), got \(4,\)"):
        record_disagreement(p[:, 0], p)
    with pytest.raises(ValueError, match=r"hard must have shape \(rounds, records\)"):
        disagreement_over_rounds(np.zeros(3, bool))
    with pytest.raises(ValueError, match=r"hard must be true or false in each round: leave out rounds in which"):
        disagreement_over_rounds(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match=r"observed and null must have a value for each of the same records"):
        excess_disagreement(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match=r"groups must name one for each record, got 1 for values of \(3,\)"):
        disagreement_by_group(np.zeros(3), ["a"])
    with pytest.raises(ValueError, match=r"first, second and null must hold as many layers"):
        disagreement_by_depth([p], [p], [])
    with pytest.raises(ValueError, match=r"features must hold 4 records or more, got 3"):
        layer_readout(np.zeros((3, 2)), np.zeros(3), 2)
