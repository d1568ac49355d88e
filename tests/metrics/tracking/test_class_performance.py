"""Class performance from streamed counts: scikit-learn's numbers, tiers, absent classes, and what goes wrong."""

import math
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve, precision_recall_fscore_support
from torch import Tensor

import fedlayers
from metrics.class_performance import ClassPerformanceTracker, hmt_info_of, percentile_tiers, threshold_tiers
from metrics.class_performance.counting import ClassTally, results_of
from metrics.class_performance.label_groups import answers_of
from metrics.class_performance.score_histograms import BINS, average_precision, count_scores, curve, log_odds
from metrics.class_performance.scores import class_result
from metrics.tracking.isolation import TrackingWarning
from tests.support.tracked_training import GROUPS, HMT_INFO

RANDOM = np.random.default_rng(0)


def several(number: int = 400, classes: int = 5, sharpness: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return outputs that know something of several labels; the last class is rare."""
    truth = RANDOM.random((number, classes)) < np.linspace(0.5, 0.02, classes)
    truth[0] = True
    return torch.tensor(sharpness * (truth - 0.5) + RANDOM.normal(size=truth.shape)), torch.tensor(truth).float()


def tracker_in(folder: Path, **settings: Any) -> ClassPerformanceTracker:
    return ClassPerformanceTracker(save_dir=Path(mkdtemp(dir=folder)) / "class_metrics", **settings)


@pytest.mark.parametrize("batches", [1, 7])
def test_several_labels_have_the_scores_of_scikit_learn(tmp_path: Path, batches: int) -> None:
    logits, labels = several()
    tracker = tracker_in(tmp_path, label_to_idx_dict=GROUPS, attributes=["crop"])
    for part in np.array_split(np.arange(len(logits)), batches):
        tracker.update({"crop": logits[part]}, {"crop": labels[part]})
    found = tracker.get_metrics()["class_metrics"]["crop"]
    expected = precision_recall_fscore_support(labels, logits > 0, zero_division=np.nan)
    for at, name in enumerate(GROUPS["crop"]):
        scores = [found[name][score] for score in ("precision", "recall", "f1", "support")]
        assert scores == pytest.approx([column[at] for column in expected])
        exact = average_precision_score(labels[:, at], logits[:, at])
        assert found[name]["ap_low"] - 1e-12 <= exact <= found[name]["ap_high"] + 1e-12
        assert found[name]["ap"] == pytest.approx(exact, abs=0.01)


def test_one_label_has_the_scores_of_scikit_learn(tmp_path: Path) -> None:
    labels = torch.tensor(RANDOM.integers(0, 4, 300))
    logits = torch.tensor(RANDOM.normal(size=(300, 4))) + 1.5 * torch.nn.functional.one_hot(labels, 4)
    tracker = tracker_in(tmp_path)
    tracker.update(logits, labels)
    found = tracker.get_metrics()["class_metrics"]["classes"]
    expected = precision_recall_fscore_support(labels, logits.argmax(1))
    for at in range(4):
        assert found[str(at)]["f1"] == pytest.approx(expected[2][at])
        exact = average_precision_score(labels == at, logits.softmax(1)[:, at])
        assert found[str(at)]["ap_low"] - 1e-12 <= exact <= found[str(at)]["ap_high"] + 1e-12


def test_the_ends_hold_for_scores_that_are_all_but_equal_and_for_ties() -> None:
    for scale in (1e-4, 1e-2, 1.0, 50.0):
        for _ in range(20):
            labels = torch.tensor(RANDOM.random((60, 1)) < 0.3)
            labels[0] = True
            scores = torch.tensor(RANDOM.normal(size=(60, 1)) * scale).round(decimals=int(RANDOM.integers(2, 8)))
            counted = torch.ones_like(labels)
            found = average_precision(count_scores(scores, labels, counted).numpy()[0])
            exact = average_precision_score(labels[:, 0], scores[:, 0])
            assert found.low - 1e-12 <= exact <= found.high + 1e-12
            assert found.low - 1e-12 <= found.value <= found.high + 1e-12


def test_the_ends_are_those_of_negatives_first_and_of_positives_first_within_bins() -> None:
    random = np.random.default_rng(3)
    histogram = random.integers(0, 12, (2, 40)) * (random.random((2, 40)) < 0.5)
    ends = []
    for first, step in ((0, 1e-3), (1, 0.0)):  # one positive after another, or all of a bin at once
        scores, labels = [], []
        for at, (negatives, positives) in enumerate(histogram.T):
            labels += [0] * negatives + [1] * positives
            scores += [at + 0.5 * (first == 0)] * negatives
            scores += [at + 0.25 - step * j for j in range(positives)]
        ends.append(average_precision_score(labels, scores))
    found = average_precision(histogram)
    assert (found.low, found.high) == pytest.approx(tuple(ends), abs=1e-12)


def test_without_the_ends_all_else_is_the_same() -> None:
    random = np.random.default_rng(4)
    counts, histogram = np.array([5, 3, 2]), random.integers(0, 12, (2, 40)) * (random.random((2, 40)) < 0.5)
    with_ends, without = (class_result(counts, histogram, ends) for ends in (True, False))
    assert without.curve.tobytes() == with_ends.curve.tobytes()
    assert replace(without, ap_low=with_ends.ap_low, ap_high=with_ends.ap_high, curve=with_ends.curve) == with_ends
    assert math.isnan(without.ap_low) and math.isnan(without.ap_high)
    nothing = class_result(counts, np.stack([histogram[0], np.zeros(40, int)]))
    assert math.isnan(nothing.ap) and np.isnan(nothing.curve).all()


@pytest.mark.parametrize("examples", [1, 7, 600, BINS])
def test_without_a_histogram_all_is_the_same_to_the_last_bit(examples: int) -> None:
    random, labels = torch.Generator().manual_seed(examples), ["a", "b", "c", "absent"]
    # Rounded, so that positives and negatives share bins.
    logits = (3 * torch.randn(examples, 4, generator=random)).round(decimals=1)
    one = torch.randint(3, (examples,), generator=random)
    several = (torch.rand(examples, 4, generator=random) < torch.tensor([0.5, 0.2, 0.02, 0.0])).float()
    for truth in (one, several, one - 100 * (one == 2).long()):
        answers = answers_of("classes", logits, truth, 4)
        for other, result in ClassTally.of(answers).results(labels, with_ends=False).items():
            found = results_of(answers, labels)[other]
            assert found.curve.tobytes() == result.curve.tobytes()
            assert repr(replace(found, curve=result.curve)) == repr(result)


def test_the_curve_is_that_of_scikit_learn_where_no_bin_is_shared() -> None:
    labels = torch.tensor(RANDOM.random((40, 1)) < 0.4)
    scores = torch.linspace(-4, 4, 40).unsqueeze(1)[torch.tensor(RANDOM.permutation(40))]
    recall, precision = curve(count_scores(scores, labels, torch.ones_like(labels)).numpy()[0])
    theirs = precision_recall_curve(labels[:, 0], scores[:, 0])
    points = {(round(r, 9), round(p, 9)) for p, r in zip(theirs[0], theirs[1], strict=True)}
    assert {(round(r, 9), round(p, 9)) for r, p in zip(recall, precision, strict=True)} <= points


def test_log_odds_keep_the_order_of_sure_answers() -> None:
    logits = torch.tensor([[60.0, 0.0], [50.0, 0.0], [-60.0, 0.0]])
    assert log_odds(logits)[:, 0].tolist() == pytest.approx([60.0, 50.0, -60.0])
    assert log_odds(torch.tensor([[1e5, 0.0]]))[0].tolist() == pytest.approx([1e5, -1e5])
    assert log_odds(torch.zeros(0, 3)).shape == (0, 3)


def test_memory_does_not_grow_with_examples_and_epochs_are_apart(tmp_path: Path) -> None:
    tracker = tracker_in(tmp_path)
    for epoch in (1, 2):
        tracker.start_epoch(epoch)
        for _ in range(3):
            tracker.update(*several(100))
        kept = tracker._groups["classes"].now
        assert kept is not None and kept.histograms.shape == (5, 2, BINS)
        assert int(kept.histograms.sum()) == 3 * 100 * 5
        tracker.end_epoch()
    history = tracker.get_metrics()["history"]
    assert [one["epoch"] for one in history] == [1, 2]
    assert history[0]["class_metrics"] != history[1]["class_metrics"]


def test_an_absent_class_is_in_no_mean(tmp_path: Path) -> None:
    tracker = tracker_in(tmp_path, label_to_idx_dict=GROUPS, attributes=["crop"], hmt_info=HMT_INFO)
    labels = torch.zeros(4, 5)
    labels[:, 3] = 1
    tracker.update({"crop": torch.where(labels == 1, 1.0, -1.0) + torch.tensor([0.0, 0, 0, 0, 9.0])}, {"crop": labels})
    found = tracker.get_metrics()
    assert found["class_metrics"]["crop"]["rye"] | {"type": ""} == {
        "true_positives": 0, "false_positives": 4, "false_negatives": 0, "precision": None, "recall": None, "f1": None,
        "ap": None, "ap_low": None, "ap_high": None, "support": 0, "type": "", "status": "absent",
    }  # fmt: skip
    tail, head = found["type_metrics"]["crop"]["tail"], found["type_metrics"]["crop"]["head"]
    assert (tail["count"], tail["present"], tail["f1"]) == (2, 1, 1.0)
    assert (head["count"], head["present"], head["recall"]) == (2, 0, None)


def test_tiers_by_percentile_and_by_threshold_of_all_and_of_own_examples_are_apart(tmp_path: Path) -> None:
    counts = {"wheat": 600, "maize": 101, "rice": 100, "oats": 20, "rye": 19}
    own = {"wheat": 1, "maize": 2, "rice": 3, "oats": 4, "rye": 500}
    tracker = tracker_in(
        tmp_path, label_to_idx_dict=GROUPS, attributes=["crop"], train_counts={"crop": counts}, own_counts={"crop": own}
    )
    schemes = tracker.get_metrics()["tier_schemes"]["crop"]
    assert list(schemes) == ["percentile", "threshold", "own_percentile", "own_threshold"]
    assert list(schemes["threshold"].values()) == ["head", "head", "medium", "medium", "tail"]
    assert list(schemes["percentile"].values()) == ["head", "head", "medium", "tail", "tail"]
    assert schemes["own_threshold"]["rye"] == "head" and schemes["own_threshold"]["wheat"] == "tail"
    assert threshold_tiers(counts) == schemes["threshold"] and percentile_tiers({"a": 3}) == {"a": "head"}
    assert hmt_info_of({"crop": counts})["crop"]["head"] == {"wheat": 600, "maize": 101}
    for wrong in (-5, math.nan, "3"):
        with pytest.raises(
            ValueError, match=r"counts\['g'\]\['a'\] must be a number of training examples, 0 or more, got"
        ):
            hmt_info_of({"g": {"a": wrong}})  # type: ignore[dict-item]
    given = tracker_in(tmp_path, label_to_idx_dict=GROUPS, hmt_info=HMT_INFO).get_metrics()["tier_schemes"]
    assert list(given["crop"]) == ["given", "percentile", "threshold"]
    assert list(given["part"]["given"].values()) == ["head", "medium", "tail"]


def test_its_tables_are_those_of_a_run(tmp_path: Path) -> None:
    tracker = tracker_in(tmp_path, label_to_idx_dict=GROUPS, attributes=["crop"], hmt_info=HMT_INFO)
    for epoch in (1, 2):
        with tracker.epoch(epoch):
            tracker.update({"crop": several()[0]}, {"crop": several()[1]})
    tables = fedlayers.read(tracker.save())
    rows = tables.records[tables.records["metric"] == "class_recall"]
    assert set(rows["round"]) == {1, 2} and set(rows["subject"]) == set(GROUPS["crop"])
    tiers = tables.records[tables.records["metric"] == "tier_f1"]
    assert set(tiers["variant"]) == {"crop, given", "crop, percentile", "crop, threshold"}
    assert len(tables.spectra) == 2 * 5 and tables.quantities["class_ap"].high == 1.0


CASES = {
    "shapes": (torch.zeros(4, 5), torch.zeros(3, 5), r"logits \(4, 5\) and labels \(3, 5\) of crop do not fit: give"),
    "classes": (torch.zeros(4, 4), torch.zeros(4, 4), "the group has 5 classes, one column of logits each"),
    "halves": (torch.zeros(2, 5), torch.full((2, 5), 0.5), "10 labels that are neither 0 nor 1 in crop are left out"),
    "outside": (torch.zeros(3, 5), torch.tensor([0, 5, -1]), "2 labels outside 0 to 4 in crop are left out"),
    "nan": (torch.full((2, 5), torch.nan), torch.tensor([0, 1]), "2 outputs that are NaN or infinite in crop are"),
    "infinite": (torch.full((2, 5), torch.inf), torch.tensor([0, 1]), "2 outputs that are NaN or infinite in crop are"),
    "ruled out": (
        torch.full((2, 5), -torch.inf),
        torch.tensor([0, 1]),
        "2 outputs that are NaN or infinite in crop are",
    ),
    "fractions": (torch.zeros(2, 5), torch.tensor([0.5, 1.0]), "must be whole numbers, the places of the classes"),
    "no group": (torch.zeros(2, 5), {"part": torch.zeros(2)}, "labels_dict has no crop, which logits_dict has"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_told_once_and_left_out(case: str, tmp_path: Path) -> None:
    logits, labels, sentence = CASES[case]
    tracker = tracker_in(tmp_path, label_to_idx_dict=GROUPS, attributes=["crop"])
    given = labels if isinstance(labels, dict) else {"crop": labels}
    with pytest.warns(TrackingWarning, match=sentence):
        tracker.update({"crop": logits}, given)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker.update({"crop": logits}, given)
        tracker.update({"crop": several()[0]}, {"crop": several()[1]})
    assert sum(one["support"] for one in tracker.get_metrics()["class_metrics"]["crop"].values()) > 5


def test_a_tensor_does_not_say_which_of_two_groups_it_is_of(tmp_path: Path) -> None:
    tracker = tracker_in(tmp_path, label_to_idx_dict=GROUPS)
    with pytest.warns(TrackingWarning, match="logits_dict must be a dictionary with crop, part, got Tensor"):
        tracker.update(torch.zeros(2, 5), torch.zeros(2, 5))
    with pytest.warns(TrackingWarning, match="there is no class performance to show yet: call update"):
        assert tracker.visualize() is None


def test_shapes_of_one_output_of_places_and_of_ignored_labels(tmp_path: Path) -> None:
    binary = tracker_in(tmp_path, label_to_idx_dict={"no": 0, "yes": 1})
    binary.update(torch.tensor([2.0, -1.0, 0.5]), torch.tensor([1, 0, 0]))
    assert binary.get_metrics()["class_metrics"]["classes"]["yes"]["precision"] == 0.5
    tokens = tracker_in(tmp_path)
    labels = torch.tensor([[0, 2, -100], [1, 1, 2]])
    tokens.update(torch.nn.functional.one_hot(labels.clamp(min=0), 3).float(), labels)
    assert [one["support"] for one in tokens.get_metrics()["class_metrics"]["classes"].values()] == [1, 2, 2]
    pixels = tracker_in(tmp_path)
    pixels.update(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long))
    assert pixels.get_metrics()["class_metrics"]["classes"]["0"]["support"] == 32
    assert not (tokens.problems or pixels.problems or binary.problems)


def test_maps_number_the_classes_from_zero() -> None:
    with pytest.raises(
        ValueError, match=r"label_to_idx_dict\['crop'\] must give places 0 to 1, one a class, got \[1, 2\]"
    ):
        ClassPerformanceTracker(label_to_idx_dict={"crop": {"a": 1, "b": 2}})
    with pytest.raises(ValueError, match="attributes must be groups of label_to_idx_dict, crop, got 'part'"):
        ClassPerformanceTracker(["part"], {"crop": {"a": 0}})
    from_text = ClassPerformanceTracker(idx_to_label_dict={"crop": {"0": "a", "1": "b"}})
    assert list(from_text.get_metrics()["tier_schemes"]["crop"]["given"]) == ["a", "b"]
