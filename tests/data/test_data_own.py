"""A user's own data set: arrays of the usual shapes and types are taken, others are refused in a sentence."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.data import Federation, load_federation
from fedlayers.data.source import Arrays, DatasetFacts
from fedlayers.data.validation import checked
from tests.support.data_configs import config

LABELS = np.arange(24) % 3
TWO = np.arange(24) % 2
IMAGES = np.random.default_rng(0).normal(3.0, 2.0, (24, 2, 4, 5))
FACTS = DatasetFacts(("a", "b", "c"))


class Own:
    """A data set of the arrays that a test sets."""

    arrays: Arrays = Arrays(IMAGES, LABELS, FACTS)

    def files(self, root: Path) -> tuple[Path, ...]:
        return ()

    def read(self, root: Path) -> Arrays:
        return self.arrays


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Arrays], Federation]:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))

    numbers = itertools.count()  # nothing but the name says that the data changed

    def loaded(arrays: Arrays) -> Federation:
        monkeypatch.setattr(Own, "arrays", arrays)
        own = {"_target_": "tests.data.test_data_own.Own", "name": f"own-{next(numbers)}"}
        return load_federation(replace(config("digits", clients=2), dataset=own))

    return loaded


def batch_of(federation: Federation) -> tuple[torch.Tensor, np.ndarray]:
    examples = federation.pooled_train
    return examples.batch(torch.arange(len(examples)))[0], examples.index.numpy()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "int16", ">i4", "uint16", "int64"])
def test_images_of_any_type_are_normalised_by_the_training_images(
    load: Callable[[Arrays], Federation], dtype: str
) -> None:
    images = (IMAGES * 10).astype(dtype)
    federation = load(Arrays(images, LABELS, replace(FACTS, num_test=4)))
    batch, order = batch_of(federation)
    assert federation.shape == (2, 4, 5) and batch.dtype == torch.float32
    wide = images.astype(np.float64)
    mean, std = (f(wide[:20], axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(batch.numpy(), ((wide - mean) / std)[order], rtol=2e-5, atol=2e-5)


def test_images_with_mean_and_std_use_these(load: Callable[[Arrays], Federation]) -> None:
    facts = replace(FACTS, mean=(1.0, 2.0), std=(0.5, 4.0))
    batch, order = batch_of(load(Arrays(IMAGES, LABELS, facts)))
    expected = (IMAGES - np.array([1, 2])[:, None, None]) / np.array([0.5, 4])[:, None, None]
    np.testing.assert_allclose(batch.numpy(), expected[order], atol=1e-5)


def test_images_far_from_zero_keep_their_digits(load: Callable[[Arrays], Federation]) -> None:
    images = 1e9 + IMAGES
    batch, order = batch_of(load(Arrays(images, LABELS, FACTS)))
    centred = images - 1e9
    mean, std = (f(centred, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(batch.numpy(), ((centred - mean) / std)[order], atol=1e-5)


def test_bytes_without_mean_and_std_and_a_constant_channel(load: Callable[[Arrays], Federation]) -> None:
    images = np.stack([np.full((24, 4, 5), 7), np.arange(480).reshape(24, 4, 5) % 256], axis=1).astype(np.uint8)
    federation = load(Arrays(images, LABELS, FACTS))
    batch, _ = batch_of(federation)
    assert federation.pooled_train.features.dtype == torch.uint8
    assert (batch[:, 0] == 0).all() and 0.5 < float(batch[:, 1].std()) < 1.5


def test_rows_of_bytes_and_truth_values_are_rows(load: Callable[[Arrays], Federation]) -> None:
    for rows in (np.arange(72).reshape(24, 3).astype(np.uint8), np.arange(48).reshape(24, 2) % 3 == 0):
        batch, order = batch_of(load(Arrays(rows, LABELS, FACTS)))
        chosen = rows[order].astype(float)
        np.testing.assert_allclose(batch.numpy(), (chosen - chosen.mean(0)) / chosen.std(0), atol=1e-5)


def test_huge_integers_are_taken_off_and_said(load: Callable[[Arrays], Federation]) -> None:
    rows = np.stack([2**62 + LABELS, TWO], axis=1)
    federation = load(Arrays(rows, LABELS, replace(FACTS, columns=("id", "x"))))
    assert federation.notes == (
        f"{2**62} was subtracted from all values of column id, which floats do not tell apart otherwise",
    )


def test_a_run_on_float_images(quick_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Own, "arrays", Arrays(np.concatenate([IMAGES] * 10), np.concatenate([LABELS] * 10), FACTS))
    folder = quick_run(
        "dataset._target_=tests.data.test_data_own.Own", "dataset.name=own", "engine=local", "examples_per_client=null"
    )
    assert (fedlayers.read(folder).records.status == "ok").mean() > 0.9


ROWS = np.arange(48.0).reshape(24, 2)
INFINITE = np.where(ROWS == 9, np.inf, ROWS)
MISSING = np.where(IMAGES[3, 0, 0, 0] == IMAGES, np.nan, IMAGES)
BAD: list[tuple[Any, Any, Any, str]] = [
    (ROWS[:, 0], LABELS, FACTS, r"features of own must be images .* got shape \(24,\); reshape it to \(n, 1\)"),
    (IMAGES[:, 0], LABELS, FACTS, r"got shape \(24, 4, 5\); images need a channel axis, \(n, 1, h, w\)"),
    (IMAGES[None], LABELS, FACTS, r"got shape \(1, 24, 2, 4, 5\); bring them into one of these shapes"),
    (ROWS[:, :0], LABELS, FACTS, r"got shape \(24, 0\)"),
    (ROWS.astype(complex), LABELS, FACTS, r"must be real numbers, got complex128; convert them"),
    (ROWS.astype(str), LABELS, FACTS, r"must be real numbers, got <U"),
    (ROWS.astype(object), LABELS, FACTS, r"must be real numbers, got object"),
    (ROWS, LABELS[:5], FACTS, r"the labels of own must be 24 integers, one an example, got int64 of shape \(5,\)"),
    (ROWS, LABELS[:, None], FACTS, r"the labels of own must be 24 integers, .* of shape \(24, 1\)"),
    (ROWS, LABELS * 1.0, FACTS, r"the labels of own must be 24 integers, .* got float64 of shape"),
    (ROWS, LABELS + 1, FACTS, r"labels of own must be 0 to 2, got 1 to 3, the first of them in example 2; leave"),
    (ROWS, LABELS - 1, FACTS, r"labels of own must be 0 to 2, got -1 to 1, the first of them in example 0"),
    (ROWS, LABELS, replace(FACTS, num_test=24), r"must have training examples, got none in own \(24 examples, of wh"),
    (ROWS, LABELS, replace(FACTS, num_test=-1), r"must have training examples, got none in own"),
    (ROWS[:0], LABELS[:0], FACTS, r"must have training examples, got none in own \(0 examples"),
    (ROWS, LABELS, replace(FACTS, columns=("a",)), r"facts of own must name 2 columns, got 1; name all or none"),
    (INFINITE, LABELS, FACTS, r"finite or missing \(NaN\), got infinite values, first in example 4 of column 1"),
    (INFINITE, LABELS, replace(FACTS, columns=("p", "q")), r"example 4 of column q; replace"),
    (MISSING, LABELS, FACTS, r"finite, got values that are not, first in example 3; replace"),
    (ROWS, LABELS, DatasetFacts(("a", "b", "a")), r"classes of own must be different names, got \['a', 'b', 'a'\]; re"),
    (ROWS, LABELS, DatasetFacts(("a", "b", "")), r"classes of own must be different names"),
    (ROWS, LABELS, DatasetFacts(()), r"classes of own must be different names, got \[\]"),
    (ROWS, LABELS, replace(FACTS, group_names=("p", "p")), r"group_names of own must be different names, got"),
    (IMAGES, LABELS, replace(FACTS, mean=(1.0,), std=(1.0,)), r"mean and std of own must be 2 finite numbers each"),
    (IMAGES, LABELS, replace(FACTS, mean=(1.0, 1.0), std=(1.0, 0.0)), r"must be 2 finite numbers each, std positive"),
    (IMAGES, LABELS, replace(FACTS, mean=(1.0, np.nan), std=(1.0, 1.0)), r"leave both empty for those of the training"),
    (IMAGES, LABELS, replace(FACTS, mean=(1.0, 1.0)), r"mean and std of own must be 2 finite numbers each"),
]  # fmt: skip


@pytest.mark.parametrize(("features", "labels", "facts", "match"), BAD)
def test_what_cannot_be_taken_is_refused(features: Any, labels: Any, facts: DatasetFacts, match: str) -> None:
    with pytest.raises(UserError, match=match):
        checked(Arrays(features, labels, facts), "own")


def test_groups_must_have_names() -> None:
    with pytest.raises(UserError, match=r"the groups of own must be 0 to 0, got 0 to 2, the first .* in example 1"):
        checked(Arrays(ROWS, LABELS, replace(FACTS, group_names=("one",)), LABELS), "own")
    with pytest.raises(UserError, match=r"the groups of own must be 24 integers"):
        checked(Arrays(ROWS, LABELS, replace(FACTS, group_names=("one",)), LABELS[:3]), "own")
