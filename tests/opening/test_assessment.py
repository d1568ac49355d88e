"""A run's models tested again give what the run recorded, and scikit-learn's counts."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.opening.assessment import Assessment, assess, assess_clients
from fedlayers.views.confusions import last_confusion

WORDS = ("engine=local", "metrics=[evaluation]", "snapshots.rounds=[all]", "snapshots.clients=true", "training.lr=0.2")


@pytest.fixture(scope="module")
def folder(quick_run: Callable[..., Path]) -> Path:
    return quick_run(*WORDS, "server_test.examples=100")


@pytest.fixture(scope="module")
def alone(quick_run: Callable[..., Path]) -> Path:
    return quick_run(*WORDS, "algorithm=local")


def final(folder: Path, scope: str, client: int | None) -> float:
    records = fedlayers.open(folder).records(metric="accuracy", scope=scope, moment="final")
    found = records if client is None else records[records["client"] == client]
    return float(found["value"].item())


def test_the_last_model_is_as_good_as_the_run_said(folder: Path) -> None:
    run = fedlayers.open(folder)
    found = assess(run, "last")
    assert (found.round, found.examples, found.client) == (2, 100, None)
    assert found.accuracy == pytest.approx(final(folder, "server_test", None))
    recorded = last_confusion(run.spectra(), found.classes)
    assert recorded is not None and np.array_equal(recorded.counts, found.confusion)


def test_the_counts_are_scikit_learns(folder: Path) -> None:
    run = fedlayers.open(folder)
    found, module = assess(run, "best"), run.model("best")
    from fedlayers.data.server_examples import server_examples

    features, labels = server_examples(run.config, run.data).batch(torch.arange(100))
    predictions = module(features).argmax(1)
    expected = sklearn.metrics.confusion_matrix(labels, predictions, labels=range(10))
    assert found.confusion.dtype == np.int64 and np.array_equal(found.confusion, expected)


def test_clients_are_told_apart(folder: Path) -> None:
    found = list(assess_clients(fedlayers.open(folder), "last"))
    assert [one.client for one in found] == [0, 1, 2, 3]
    for one in found:
        assert one.accuracy == pytest.approx(final(folder, "client_test", one.client))


def test_without_a_global_model_each_clients_own_is_asked(alone: Path) -> None:
    run = fedlayers.open(alone)
    for one in assess_clients(run, "last"):
        assert one.accuracy == pytest.approx(final(alone, "client_test", one.client))
    with pytest.raises(UserError, match="has no model of owner server at round 2"):
        assess(run, "last")


def test_classes_that_nobody_has() -> None:
    one = Assessment("client_test", 0, 1, ("yes", "no"), np.array([[3, 1], [0, 0]]))
    assert (one.accuracy, one.report.classes["yes"].recall) == (0.75, 0.75)
    assert np.isnan(one.report.classes["no"].recall) and one.report.macro.recall == 0.75


def test_what_cannot_be_tested_is_said(folder: Path, quick_run: Callable[..., Path]) -> None:
    bare = quick_run(*WORDS[:2], "split.val=0", "split.train=0.9", "split.server_test=0", "snapshots.rounds=[1]")
    run = fedlayers.open(bare)
    with pytest.raises(UserError, match="has no best round, for it has no validation examples: ask for the last"):
        assess(run, "best")
    with pytest.raises(UserError, match=r"has not kept the model of its last round, 2: let it run to its end with"):
        assess(run, "last")
    (bare / "run.json").write_text(json.dumps({**run.facts, "round": 1}))
    with pytest.raises(UserError, match=r"has no server_test examples \(split.server_test=0\): ask for its clients'"):
        assess(fedlayers.open(bare), "last")


def test_a_model_that_has_diverged_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fedlayers.open(folder)
    broken = run.model(2)
    for parameter in broken.parameters():
        parameter.data.fill_(torch.nan)
    monkeypatch.setattr(type(run), "model", lambda *_: broken)
    with pytest.raises(UserError, match=r"the model of round 2 of .* outputs for 100 of 100 examples are NaN or inf"):
        assess(run, "last")
