"""Linear probe, label information, chance and class variance against scikit-learn, naive twins and null cases."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ortho_group
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import mutual_info_score
from torch import Tensor

from metrics.geometry.chance import Chance, against_chance
from metrics.geometry.class_variance import within_class_share
from metrics.geometry.label_information import label_information, label_informations
from metrics.geometry.linear_probe import (
    held_out_predictions,
    ridge_penalty,
    shuffled_within_folds,
    stratified_folds,
)
from metrics.geometry.principal_coordinates import principal_coordinates
from metrics.statistics.jackknife import jackknife_error


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labelled(n: int, d: int, classes: int, apart: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return normal features whose first units are shifted by their class, and the classes, at random."""
    labels = torch.randint(classes, (n,), generator=generator(seed))
    features = torch.randn(n, d, generator=generator(seed + 1000), dtype=torch.float64)
    features[:, :classes] += apart * F.one_hot(labels, classes)
    return features, labels


def predicted(features: Tensor, labels: Tensor, folds: Tensor, examples_per_degree: float = 4.0) -> Tensor:
    return held_out_predictions(principal_coordinates(features), labels[None], folds, examples_per_degree)[0]


def share(features: Tensor, labels: Tensor) -> float:
    return within_class_share(principal_coordinates(features), labels)[0]


@pytest.mark.parametrize("d", [8, 150])
@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("examples_per_degree", [1.5, 4.0, 40.0])
def test_predictions_equal_those_of_scikit_learn(d: int, classes: int, examples_per_degree: float) -> None:
    features, labels = labelled(100, d, classes, 1.0)
    folds = stratified_folds(labels, 5, generator())
    expected, variances = torch.empty_like(labels), principal_coordinates(features).variances
    for fold in range(5):
        held = folds == fold
        training = features[~held].numpy()
        alpha = (len(training) - 1) * ridge_penalty(variances, len(training) / examples_per_degree)
        model = RidgeClassifier(alpha=alpha).fit(training, labels[~held].numpy())
        expected[held] = torch.from_numpy(model.predict(features[held].numpy()))
    assert torch.equal(predicted(features, labels, folds, examples_per_degree), expected)


def test_penalty_sets_the_degrees_of_freedom() -> None:
    variances = torch.arange(1, 101, dtype=torch.float64) ** -2
    for freedom in (0.5, 7.0, 60.0):
        penalty = ridge_penalty(variances, freedom)
        assert float((variances / (variances + penalty)).sum()) == pytest.approx(freedom, rel=1e-9)
        assert ridge_penalty(1e6 * variances, freedom) == pytest.approx(1e6 * penalty, rel=1e-6)
    least = 1e-8 * float(variances.sum())
    assert ridge_penalty(variances, 100.0) == ridge_penalty(variances, 500.0) == pytest.approx(least)


def test_a_dominant_direction_does_not_hide_the_labels() -> None:
    """Untrained networks put nearly all variance in one direction; the classes are in the others as before."""
    features, labels = labelled(200, 10, 2, 3.0)
    folds = stratified_folds(labels, 5, generator())
    shift = 1e3 * torch.randn(200, 1, generator=generator(5), dtype=torch.float64)
    alone, beside = (predicted(x, labels, folds) == labels for x in (features, torch.cat([features, shift], 1)))
    assert float(alone.double().mean()) > 0.95 and float(beside.double().mean()) > 0.95


def test_labellings_do_not_meet() -> None:
    """Many classes are worked off in several chunks; every labelling is as if it were alone."""
    features, labels = labelled(300, 20, 16, 2.0)
    folds = stratified_folds(labels, 5, generator())
    labellings = torch.cat([labels[None], shuffled_within_folds(labels, folds, 50, generator())])
    found = held_out_predictions(principal_coordinates(features), labellings, folds, 4.0)
    for index in (0, 1, 31, 32, 50):
        assert torch.equal(found[index], predicted(features, labellings[index], folds))


def test_no_example_sees_its_own_fold() -> None:
    features, labels = labelled(60, 10, 3, 2.0)
    folds = stratified_folds(labels, 4, generator())
    value = predicted(features, labels, folds)
    for fold in range(4):
        held = folds == fold
        others = torch.where(held, (labels + 1) % 3, labels)
        assert torch.equal(predicted(features, others, folds)[held], value[held])


def test_noise_is_read_off_training_examples_but_not_off_others() -> None:
    """d ≫ n: every labelling is linearly separable, which says nothing."""
    found = []
    for seed in range(20):
        features, labels = labelled(100, 400, 2, 0.0, seed)
        found.append(
            float(
                (predicted(features, labels, stratified_folds(labels, 5, generator())) == labels).mean(
                    dtype=torch.float64
                )
            )
        )
        assert RidgeClassifier(alpha=1e-3).fit(features, labels).score(features, labels) == 1
    assert abs(np.mean(found) - 0.5) < 4 * 0.07 / math.sqrt(20)


def test_separable_classes_are_all_predicted() -> None:
    features, labels = labelled(80, 6, 3, 30.0)
    assert torch.equal(predicted(features, labels, stratified_folds(labels, 5, generator())), labels)


def test_predictions_do_not_depend_on_rotation_scale_or_mean() -> None:
    features, labels = labelled(90, 12, 3, 1.0)
    folds = stratified_folds(labels, 5, generator())
    value = predicted(features, labels, folds)
    rotation = torch.from_numpy(ortho_group.rvs(12, random_state=1))
    assert torch.equal(predicted(1e-5 * features @ rotation - 4, labels, folds), value)
    assert torch.equal(predicted((features + 100).float(), labels, folds), value)


def test_training_examples_that_are_all_equal_predict_their_most_frequent_class() -> None:
    features = torch.zeros(8, 3)
    features[0] = 1
    labels = torch.tensor([1, 0, 1, 1, 0, 1, 1, 1])
    folds = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1])
    assert predicted(features, labels, folds)[:2].tolist() == [1, 1]


@pytest.mark.parametrize(("n", "folds", "made"), [(53, 5, 5), (7, 5, 3), (4, 5, 2), (3, 5, 1)])
def test_folds_and_their_classes_are_of_equal_size(n: int, folds: int, made: int) -> None:
    labels = torch.randint(3, (n,), generator=generator())
    found = stratified_folds(labels, folds, generator())
    assert torch.unique(found).tolist() == list(range(made))
    table = torch.stack([torch.bincount(found[labels == label], minlength=made) for label in range(3)])
    assert int((table.amax(1) - table.amin(1)).max()) <= 1
    assert int(table.sum(0).max() - table.sum(0).min()) <= 1


def test_shuffles_keep_the_classes_of_every_fold() -> None:
    labels = torch.randint(4, (50,), generator=generator())
    folds = stratified_folds(labels, 5, generator())
    found = shuffled_within_folds(labels, folds, 30, generator(1))
    assert found.shape == (30, 50) and len(torch.unique(found, dim=0)) == 30
    for fold in range(5):
        expected = labels[folds == fold].sort().values
        assert (found[:, folds == fold].sort(1).values == expected).all()
    assert shuffled_within_folds(labels, folds, 0, generator()).shape == (0, 50)


def test_shuffled_labels_reject_no_more_than_they_say() -> None:
    """400 representations without information; a binomial test at 5 % rejects nearly twice as many."""
    found = []
    for seed in range(400):
        features, labels = labelled(60, 30, 2, 0.0, seed)
        folds = stratified_folds(labels, 5, generator(seed))
        labellings = torch.cat([labels[None], shuffled_within_folds(labels, folds, 39, generator(seed))])
        right = held_out_predictions(principal_coordinates(features), labellings, folds, 4.0) == labellings
        accuracies = right.double().mean(1)
        found.append(against_chance(float(accuracies[0]), accuracies[1:]).p or 0)
    rejected = np.mean(np.array(found) <= 0.05)
    assert rejected <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_chance_by_hand() -> None:
    by_chance = torch.linspace(0, 1, 21, dtype=torch.float64)
    found = against_chance(0.9, by_chance)
    # Of 21 the value of rank 0.95 · 22 = 20.9.
    assert (found.chance, found.chance_hi, found.p) == pytest.approx((0.5, 0.995, 4 / 22))
    assert against_chance(2.0, by_chance).p == 1 / 22
    assert against_chance(0.9, by_chance[:0]) == Chance(None, None, None)


def test_information_equals_that_of_scikit_learn() -> None:
    labels = torch.randint(5, (200,), generator=generator())
    predictions = torch.where(torch.rand(200, generator=generator(1)) < 0.5, labels, 4 - labels)
    value, error = label_information(labels, predictions)
    assert value == pytest.approx(mutual_info_score(labels, predictions), rel=1e-9)
    assert label_information(predictions, labels) == pytest.approx((value, error))
    assert value <= min(label_information(own, own)[0] for own in (labels, predictions))


def test_information_of_many_is_that_of_each() -> None:
    labels, predictions = torch.randint(5, (2, 7, 200), generator=generator())
    predictions[0], predictions[1], labels[2] = labels[0], 3, 4
    each = [label_information(*pair)[0] for pair in zip(labels, predictions, strict=True)]
    assert label_informations(labels, predictions, 5).tolist() == pytest.approx(each, abs=1e-12)


def test_information_at_its_ends() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    assert label_information(labels, labels) == pytest.approx((math.log(4), 0))
    assert label_information(labels, 3 - labels)[0] == pytest.approx(math.log(4))
    assert label_information(labels, torch.zeros_like(labels)) == (0, 0)


def test_error_of_information_matches_the_scatter() -> None:
    found = []
    for seed in range(300):
        labels = torch.randint(3, (300,), generator=generator(seed))
        noise = torch.randint(3, (300,), generator=generator(seed + 1000))
        found.append(label_information(labels, torch.where(noise > 0, labels, (labels + 1) % 3)))
    values, errors = np.array(found).T
    assert math.sqrt((errors**2).mean()) == pytest.approx(values.std(), rel=0.15)


@pytest.mark.parametrize("d", [4, 60])
def test_class_share_equals_loops(d: int) -> None:
    features, labels = labelled(41, d, 3, 2.0)
    within = sum(float(((features[i] - features[labels == labels[i]].mean(0)) ** 2).sum()) for i in range(len(labels)))
    total = float(((features - features.mean(0)) ** 2).sum())
    value, error = within_class_share(principal_coordinates(features), labels)
    assert value == pytest.approx(within / total, rel=1e-9)
    without = [
        share(
            torch.cat([features[: block[0]], features[block[-1] + 1 :]]),
            torch.cat([labels[: block[0]], labels[block[-1] + 1 :]]),
        )
        for block in torch.arange(41)[:, None]
    ]
    expected = jackknife_error(value, torch.tensor(without, dtype=torch.float64), torch.ones(41))
    assert error == pytest.approx(expected, rel=1e-8)


def test_class_share_by_chance_is_exact() -> None:
    features, labels = labelled(6, 3, 2, 5.0, seed=3)
    classes = len(torch.unique(labels))
    found = [share(features, labels[list(order)]) for order in itertools.permutations(range(6))]
    assert np.mean(found) == pytest.approx((6 - classes) / 5, rel=1e-9)


def test_class_share_at_its_ends_and_its_invariances() -> None:
    features, labels = labelled(60, 8, 4, 1.0)
    centres = torch.stack([features[labels == label].mean(0) for label in range(4)])
    assert share(centres[labels], labels) == pytest.approx(0, abs=1e-12)
    assert share(features - centres[labels], labels) == pytest.approx(1, abs=1e-12)
    value = share(features, labels)
    assert 0 < value < 1
    rotation = torch.from_numpy(ortho_group.rvs(8, random_state=1))
    assert share(1e-5 * features @ rotation - 4, labels) == pytest.approx(value, rel=1e-6)
    assert share((features + 100).float(), labels) == pytest.approx(value, rel=1e-4)


def test_a_class_that_leaves_with_an_example_is_no_class_without_it() -> None:
    features, _ = labelled(8, 2, 2, 1.0)
    value, error = within_class_share(principal_coordinates(features), torch.tensor([0, 0, 1, 1, 1, 0, 1, 2]))
    assert 0 < value < 1 and error is not None and math.isfinite(error)
