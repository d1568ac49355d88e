"""Kinds of shift against planted ones, exact tables, and clients that do not differ."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from metrics.shift.records import LabelledRecords, compared
from metrics.shift.separation import Separation
from metrics.shift.three_tests import concept_shift, feature_shift, label_shift, support_shift
from metrics.shift.verdict import ShiftVerdict, holm, shift_verdicts

CLASSES = 3
Change = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]


def blobs(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return records of six features around a centre for each class; each class has a shape of its own."""
    spread = np.array([1.0, 0.5, 0.5, 0.5, 0.5, 0.5])
    found: np.ndarray = 2.5 * np.eye(CLASSES, 6)[labels] + spread * random.standard_normal((len(labels), 6))
    return found


def same(features: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return features, labels


def rotated(features: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rotate by 50° in the planes of a class's feature and one that no class has."""
    angle, turn = np.deg2rad(50), np.eye(6)
    for a, b in ((0, 3), (1, 4), (2, 5)):
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = np.sin(angle), -np.sin(angle)
    return features @ turn, labels


def permuted(features: np.ndarray, labels: np.ndarray, _: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return features, np.array([1, 0, 2])[labels]


def skewed(_: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    drawn = random.choice(CLASSES, len(labels), p=random.permutation([0.7, 0.2, 0.1]))
    return blobs(drawn, random), drawn


def federation(change: Change, seed: int, clients: int = 6, n: int = 50) -> dict[int, LabelledRecords]:
    """Return clients of which the first is changed."""
    random = np.random.default_rng(seed)
    found = {}
    for client in range(clients):
        labels = random.integers(0, CLASSES, n)
        features, labels = (change if client == 0 else same)(blobs(labels, random), labels, random)
        found[client] = LabelledRecords.of(features, labels)
    return found


def verdicts(change: Change, seed: int) -> dict[int, ShiftVerdict]:
    return shift_verdicts(federation(change, seed), CLASSES, seed=seed)


@pytest.mark.parametrize(("change", "kind"), [(rotated, "feature"), (permuted, "concept"), (skewed, "label")])
def test_planted_kinds_are_named(change: Change, kind: str) -> None:
    found = [verdicts(change, seed) for seed in range(5)]
    assert sum(one[0].kinds == (kind,) for one in found) >= 4
    assert sum(bool(one[client].kinds) for one in found for client in range(1, 6)) <= 1
    assert f"({kind} shift, p = 0.0" in found[0][0].sentence


@pytest.mark.slow
def test_clients_that_do_not_differ_are_hardly_ever_named() -> None:
    """A level of 0.05: with 50 federations, more than six false alarms would be a surprise of 2 %."""
    found = [verdicts(same, seed) for seed in range(50)]
    alarms = [any(verdict.kinds for verdict in one.values()) for one in found]
    assert sum(alarms) <= 6
    quiet = found[alarms.index(False)][0]
    assert quiet.sentence == "no difference from the others was found"


def test_single_tests_keep_their_level_and_are_blind_to_other_shifts() -> None:
    """A test of another kind is no more often sure than chance makes it."""
    p: dict[str, list[float]] = {"feature of skewed": [], "concept of skewed": [], "feature of permuted": []}
    for seed in range(40):
        random = np.random.default_rng(seed)
        for change in (skewed, permuted):
            own, *others = federation(change, seed).values()
            records = compared(own, others, random)
            p[f"feature of {change.__name__}"].append(feature_shift(records, 99, random).p)
            if change is skewed:
                p["concept of skewed"].append(concept_shift(records, 99, random).p)
    for name, values in p.items():
        assert np.mean(np.array(values) <= 0.1) <= 0.25, name


def test_a_shift_of_spread_alone_is_found() -> None:
    random = np.random.default_rng(0)
    own, *others = federation(same, 0, n=150).values()
    wide = LabelledRecords(own.features + 1.2 * random.standard_normal(own.features.shape), own.labels)
    found = feature_shift(compared(wide, others, random), 199, random)
    assert found.p <= 0.02 and found.effect > 0.2
    assert support_shift(compared(wide, others, random), 199, random).p <= 0.02


def test_proportions_are_tested_as_chi_squared_does() -> None:
    own, others = np.array([40, 30, 10, 0]), np.array([150, 140, 110, 0])
    expected = chi2_contingency([own[:3], others[:3]]).pvalue
    found = label_shift(own, others, 9999)
    assert found.p == pytest.approx(expected, rel=0.3) and found.n == 80
    assert found.effect == pytest.approx(0.5 * np.abs(own / 80 - others / 400).sum())
    assert label_shift(own[::-1].copy(), others[::-1].copy(), 9999).effect == pytest.approx(found.effect)
    empty = label_shift(np.zeros(4), others)
    assert math.isnan(empty.p) and empty.reason == "one side has no records"


def test_where_records_look_like_nobody_elses_nothing_is_said_about_labels() -> None:
    clients = federation(same, 0)
    clients[0] = LabelledRecords(clients[0].features + 30, clients[0].labels)
    found = shift_verdicts(clients, CLASSES)[0]
    assert found.kinds == ("feature",) and "concept" in found.unknown
    assert "nothing can be said about concept shift" in found.sentence


def test_a_class_of_ones_own_is_a_label_shift_only() -> None:
    clients = federation(same, 0)
    labels = np.full(50, 3)
    clients[0] = LabelledRecords(blobs(labels % 3, np.random.default_rng(1)), labels)
    found = shift_verdicts(clients, 4)[0]
    assert found.kinds == ("label",) and {"feature", "concept"} <= set(found.unknown)


def test_records_that_a_model_puts_beside_another_class_look_different_and_are_not_relabelled() -> None:
    """As turned images: none gets its own label from the others, and yet they are told apart."""
    for seed in range(2):
        clients = federation(same, seed)
        random = np.random.default_rng(seed)
        labels = clients[0].labels
        beside = blobs((labels + 1) % CLASSES, random) + 1.5 * np.eye(6)[5]
        clients[0] = LabelledRecords.of(beside, labels)
        found = shift_verdicts(clients, CLASSES, seed=seed)
        assert found[0].kinds == ("feature",) and not any(found[client].kinds for client in range(1, 6))
        assert "look" in found[0].unknown["concept"] and found[0].tests["feature"].effect > 0.8


def test_labels_exchanged_by_every_second_client_change_no_looks() -> None:
    clients = federation(same, 0)
    for client in (1, 3, 5):
        clients[client] = LabelledRecords.of(clients[client].features, np.array([1, 2, 0])[clients[client].labels])
    assert not any("feature" in verdict.kinds for verdict in shift_verdicts(clients, CLASSES).values())


def test_few_permutations_are_enough_where_a_fifth_reaches_what_was_observed() -> None:
    own, *others = federation(same, 0).values()
    drawn: list[int] = []

    class Counting(Separation):
        def permuted(self, count: int, generator: np.random.Generator) -> np.ndarray:
            drawn.append(count)
            return super().permuted(count, generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("metrics.shift.three_tests.Separation", Counting)
        random = np.random.default_rng(0)
        alike = feature_shift(compared(own, others, random), 999, random)
        few, drawn[:] = set(drawn), []
        odd = LabelledRecords(own.features + np.eye(6)[5], own.labels)
        told = feature_shift(compared(odd, others, random), 999, random)
    assert few == {199} and alike.p > 0.1 and round(alike.p * 200, 6).is_integer()
    assert set(drawn) == {199, 800} and told.p == pytest.approx(0.001)


def test_the_same_seed_says_the_same() -> None:
    one, two = verdicts(rotated, 0), verdicts(rotated, 0)
    assert all(one[client].sentence == two[client].sentence for client in one)


def test_holm_is_that_of_the_paper() -> None:
    p = {(0, "label"): 0.001, (0, "feature"): 0.02, (1, "label"): 0.03, (1, "feature"): math.nan}
    found = holm(p)
    assert [found[key] for key in p][:3] == pytest.approx([0.003, 0.04, 0.04]) and math.isnan(found[1, "feature"])


def test_what_cannot_be_tested_is_told() -> None:
    own = federation(same, 0)[0]
    few = LabelledRecords(own.features[:5], own.labels[:5])
    for clients, message in [
        ({0: own}, r"clients must be two or more, got 1"),
        ({0: own, 1: few}, r"the others must have 20 records or more together, got 5"),
        ({0: own, 1: LabelledRecords(own.features[:, :2], own.labels)}, r"features of all clients must be of one size"),
    ]:
        with pytest.raises(ValueError, match=message):
            shift_verdicts(clients, CLASSES)
    with pytest.raises(ValueError, match=r"labels must name the class of each of 50 records, 1 or more, got \(5,\)"):
        LabelledRecords.of(own.features, own.labels[:5])
    with pytest.raises(ValueError, match=r"features must be finite"):
        LabelledRecords.of(own.features * np.nan, own.labels)
    with pytest.raises(ValueError, match=r"labels must be classes from 0, got -1"):
        LabelledRecords.of(own.features, own.labels - 1)
    with pytest.raises(ValueError, match=r"counts and others must count the same classes, got \(3,\) and \(2,\)"):
        label_shift(np.ones(3), np.ones(2))
