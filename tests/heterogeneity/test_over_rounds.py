"""How two models come to disagree over the rounds, and what records are as rows of numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.heterogeneity.local_records import local_records
from fedlayers.heterogeneity.over_rounds import over_rounds
from fedlayers.heterogeneity.record_features import record_features, word_counts
from fedlayers.heterogeneity.two_models import TwoModels
from fedlayers.opening.run import Run
from tests.support.compared_runs import write_compared_runs


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(write_compared_runs(tmp_path_factory.mktemp("results"))[0])


def test_each_round_is_what_the_two_models_of_that_round_say(together: Run) -> None:
    told: list[str] = []
    found = over_rounds(together, 1, "client_test", lambda _, what: told.append(what))
    assert found.rounds.tolist() == [1, 2] and len(told) == 2
    for place, number in enumerate(found.rounds.tolist()):
        two = TwoModels(together, 1, number, "client_test")
        truth = np.asarray(two.records.truth)
        assert found.classes[place].tolist() == two.federated_probabilities.argmax(1).tolist()
        assert found.disagreement[place] == pytest.approx(two.inconsistent.mean())
        assert found.accuracy[place] == pytest.approx((two.federated_probabilities.argmax(1) == truth).mean())
        assert found.local_accuracy == pytest.approx((two.local_probabilities.argmax(1) == truth).mean())
    assert found.null is None


def test_the_null_level_is_how_far_two_seeds_disagree(together: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    two = TwoModels(together, 1, None, "client_test")
    other = np.roll(two.local_probabilities, 1, axis=1)
    monkeypatch.setattr(TwoModels, "second_probabilities", other)
    assert over_rounds(together, 1, "client_test").null == 1.0


def test_without_global_models_it_says_what_keeps_them(together: Run, tmp_path: Path) -> None:
    bare = Run(tmp_path / together.folder.name)
    bare.folder.mkdir()
    for name in ("run.json", "config.yaml"):
        (bare.folder / name).write_text((together.folder / name).read_text())
    with pytest.raises(UserError, match=r"has kept no global model: snapshots\.rounds=\[all\] keeps them"):
        over_rounds(bare, 0)


def test_records_with_several_labels_are_refused(together: Run) -> None:
    run = Run(together.folder)
    examples = together.data.server_test
    sets = replace(examples, labels=torch.nn.functional.one_hot(examples.labels))
    run.__dict__["data"] = replace(together.data, server_test=sets)
    with pytest.raises(UserError, match=r"records of digits have several labels at once.*choose a run on a data set"):
        local_records(run, 0)


def test_images_are_their_pixels(together: Run) -> None:
    records = local_records(together, 0, "client_test")
    found = record_features(together, records)
    assert found.kind == "image" and found.names == ()
    assert found.rows == pytest.approx(records.features.flatten(1).numpy())
    assert found.raw == pytest.approx(records.raw().flatten(1).numpy())


def test_texts_are_how_often_they_have_frequent_words() -> None:
    tokens = torch.tensor([[2, 3, 3, 4], [3, 1, 1, 1], [4, 0, 0, 0]])
    counts, words = word_counts(tokens, ("<pad>", "<unknown>", "call", "now", "you", "never"), most=2)
    assert words == ("now", "you")
    assert counts.tolist() == [[2, 1], [1, 0], [0, 1]]


def test_texts_of_unknown_words_have_no_features() -> None:
    counts, words = word_counts(torch.tensor([[1, 0]]), ("<pad>", "<unknown>", "call"))
    assert words == () and counts.shape == (1, 0)
