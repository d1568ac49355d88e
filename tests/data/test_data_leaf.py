"""LEAF's data sets: JSON by user, users as natural groups, tokens by characters or by an agreed vocabulary."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.kinds.tokens import UNKNOWN
from fedlayers.data.load import load_federation
from fedlayers.data.sets.femnist import Femnist
from fedlayers.data.sets.sent140 import Sent140
from fedlayers.data.sets.shakespeare import LETTERS, Shakespeare
from tests.support.data_configs import config

RANDOM = np.random.default_rng(0)
Users = dict[str, list[tuple[Any, Any]]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


def leaf(root: Path, name: str, train: Users, test: Users, files: int = 2) -> Path:
    """Write users' examples as LEAF does, the training ones in several files."""
    for part, users in (("train", train), ("test", test)):
        (root / name / part).mkdir(parents=True, exist_ok=True)
        chosen = list(users)
        for number in range(files if part == "train" else 1):
            own = chosen[number :: files if part == "train" else 1]
            data = {user: {"x": [x for x, _ in users[user]], "y": [y for _, y in users[user]]} for user in own}
            content = {"users": own, "num_samples": [len(users[user]) for user in own], "user_data": data}
            (root / name / part / f"all_data_{number}.json").write_text(json.dumps(content))
    return root


def written(count: int) -> list[tuple[Any, Any]]:
    return [(RANDOM.integers(0, 256, 784).__truediv__(255).tolist(), int(RANDOM.integers(62))) for _ in range(count)]


def said(count: int) -> list[tuple[Any, Any]]:
    letters = np.array(list(LETTERS))
    return [("".join(RANDOM.choice(letters, 80)), str(RANDOM.choice(letters))) for _ in range(count)]


def message(text: str, label: int) -> tuple[Any, Any]:
    return (["1467810369", "Mon Apr 06", "NO_QUERY", "someone", text, "training"], label)


def test_writers_are_groups_and_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    train, test = {"w2": written(4), "w1": written(3)}, {"w1": written(1), "w2": written(2)}
    arrays = Femnist().read(leaf(tmp_path, "femnist", train, test))
    assert arrays.facts.group_names == ("w1", "w2") and arrays.facts.num_test == 3
    assert arrays.groups is not None and arrays.groups.tolist() == [0, 0, 0, 1, 1, 1, 1, 0, 1, 1]
    np.testing.assert_array_equal(arrays.features[3].reshape(-1), np.rint(np.array(train["w2"][0][0]) * 255))
    assert arrays.labels[3] == train["w2"][0][1]


def test_roles_speak_characters_whose_codes_stay(tmp_path: Path) -> None:
    train, test = {"ROMEO": said(4), "JULIET": said(5)}, {"ROMEO": said(1)}
    train["ROMEO"][0] = ("~" + train["ROMEO"][0][0][1:], "\n")
    arrays = Shakespeare().read(leaf(tmp_path, "shakespeare", train, test))
    assert len(LETTERS) == 80 and arrays.features.shape == (10, 80) and arrays.features.dtype == np.int32
    first = arrays.features[5]
    assert first[0] == UNKNOWN and "".join(LETTERS[code - 2] for code in first[1:]) == train["ROMEO"][0][0][1:]
    assert arrays.facts.classes[arrays.labels[5]] == "new line" and arrays.facts.agreed_words is None


def test_the_most_active_users_are_taken_by_rank(tmp_path: Path) -> None:
    train = {f"u{k}": [message(f"word{chr(97 + k)} good day {n}", n % 2) for n in range(k + 2)] for k in range(6)}
    test = {f"u{k}": [message("unseen words", 1)] for k in range(6)}
    leaf(tmp_path, "sent140", train, test)
    assert Sent140(first=2, users=3).read(tmp_path).facts.group_names == ("u4", "u3", "u2")
    arrays = Sent140(users=2, length=4).read(tmp_path)
    assert arrays.facts.group_names == ("u5", "u4") and arrays.facts.num_test == 2 and arrays.features.shape == (15, 4)
    found = load_federation(config("Sent140", "natural", data={"users": 2}, data_dir=str(tmp_path)))
    assert found.names == ("u5", "u4") and "unseen" not in found.vocabulary and "good" in found.vocabulary


@pytest.mark.parametrize(
    ("name", "source", "example", "sentence"),
    [
        ("femnist", Femnist(), ([0.5] * 5, 1), "images are not 784 numbers from 0 to 1"),
        ("femnist", Femnist(), (["a"] * 784, 1), "user u: could not convert string to float"),
        ("femnist", Femnist(), ([2.0] * 784, 1), "images are not 784 numbers from 0 to 1"),
        ("femnist", Femnist(), ([float("nan")] * 784, 1), "images are not 784 numbers from 0 to 1"),
        *(
            ("femnist", Femnist(), ([0.5] * 784, label), "labels are not all whole numbers from 0 to 61")
            for label in (62, "x", 1.5, None)
        ),
        ("shakespeare", Shakespeare(), ("a" * 80, 5), "a label is none of LEAF's 80 characters"),
        ("shakespeare", Shakespeare(), ("short", "a"), "an example is no text of 80 characters"),
        ("shakespeare", Shakespeare(), ("a" * 80, "~"), "a label is none of LEAF's 80 characters"),
        ("sent140", Sent140(), (["only", "two"], 1), "an example has no text in place 4"),
        ("sent140", Sent140(), message("text", 4), "a label is neither 0 nor 1"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, name: str, source: Any, example: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        source.read(leaf(tmp_path, name, {"u": [example]}, {"u": [example]}))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "no JSON"),
        ("[]", "no user_data in it"),
        ('{"user_data": {"u": {"x": [1], "y": []}}}', "user u has no x and y of equal lengths"),
        ('{"user_data": {"u": {"x": [], "y": []}}}', "train is damaged .*no examples in it"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    leaf(tmp_path, "femnist", {"u": written(1)}, {"u": written(1)})
    (tmp_path / "femnist" / "train" / "all_data_0.json").write_text(content)
    with pytest.raises(UserError, match=sentence):
        Femnist().read(tmp_path)


def test_without_files_the_sentence_says_how_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without femnist/train; make them with data/femnist/preprocess\.sh"):
        Femnist().files(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"first": 0}, "dataset.first must be 1 or more, got 0"),
        ({"users": 0}, "dataset.users must be 1 or more, got 0"),
        ({"words": 2}, "dataset.words must be 3 or more, got 2"),
        ({"length": 0}, "dataset.length must be 1 or more, got 0"),
    ],
)
def test_sizes_are_checked(arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Sent140(**arguments)


def test_a_rank_beyond_all_users_is_refused(tmp_path: Path) -> None:
    leaf(tmp_path, "sent140", {"u": [message("a", 1)]}, {"u": [message("b", 0)]})
    with pytest.raises(UserError, match=r"dataset\.first must be at most the number of users in the files, got 9"):
        Sent140(first=9).read(tmp_path)


def test_a_federation_of_roles_runs(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    leaf(tmp_path, "shakespeare", {f"role {k}": said(12) for k in range(3)}, {"role 0": said(4)})
    words = ["dataset=Shakespeare", f"data_dir={tmp_path}", "partition=natural", "clients=2", "rounds=1"]
    records = fedlayers.read(quick_run(*words, "examples_per_client=null", "model.width=4")).records
    assert {"tokens", "attention"} <= set(records["layer"].dropna()) and (records["status"] == "ok").mean() > 0.7
