"""Token data: integers from file to model, one vocabulary of training words, padding that counts nowhere."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Federation
from fedlayers.core.kinds.tokens import PADDING, RESERVED, UNKNOWN
from fedlayers.data.load import load_federation
from fedlayers.data.sets.sms import Sms
from fedlayers.data.source import Arrays, DatasetFacts
from fedlayers.data.validation import checked
from tests.support.data_configs import config, needs_real_data

MESSAGES = ["call now, win cash", "are you home", "win a prize now", "see you at home later", "ok"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with 100 messages, every one with a word that no other has."""
    (tmp_path / "sms").mkdir()
    lines = [
        f"{'spam' if k % 5 in (0, 2) else 'ham'}\t{MESSAGES[k % 5]} word{'abcdefghij'[k % 10] * (k // 10 + 1)}"
        for k in range(100)
    ]
    (tmp_path / "sms" / "SMSSpamCollection").write_text("\n".join(lines) + "\n")
    return tmp_path


def messages(root: Path, **data: object) -> Federation:
    return load_federation(config("sms", "iid", data=data, clients=4, data_dir=str(root)))


def words_in(federation: Federation, examples: torch.Tensor) -> set[str]:
    return {federation.vocabulary[code] for code in set(examples.flatten().tolist())} - set(RESERVED)


def test_tokens_stay_integers_and_labels_are_those_of_the_file(root: Path) -> None:
    federation = messages(root, length=6)
    features, labels = federation.splits["client_train"][0].batch(torch.arange(3))
    assert features.dtype == torch.int64 and features.shape == (3, 6) and federation.has_tokens
    assert set(labels.tolist()) <= {0, 1} and federation.classes == ("ham", "spam")


def test_the_vocabulary_is_of_training_words_and_all_others_are_unknown(root: Path) -> None:
    federation = messages(root)
    train = federation.splits["client_train"]
    known = set(federation.vocabulary) - set(RESERVED)
    assert known == words_in(federation, torch.cat([own.batch(torch.arange(len(own)))[0] for own in train]))
    # Every message has a word of its own: those of other messages are not in it.
    own_words = [word for word in known if word.startswith("word")]
    assert len(own_words) == int(train.sizes.sum())
    tests = [
        own.batch(torch.arange(len(own)))[0] for own in (*federation.splits["client_test"], federation.server_test)
    ]
    assert all(((part == UNKNOWN).sum(1) >= 1).all() for part in tests)


def test_the_most_frequent_words_are_kept_counted_by_examples(root: Path) -> None:
    federation = messages(root, words=5)
    train = federation.splits["client_train"]
    everything = messages(root)
    texts = [own.batch(torch.arange(len(own)))[0] for own in everything.splits["client_train"]]
    counts = np.zeros(len(everything.vocabulary), np.int64)
    for example in torch.cat(texts):
        for code in set(example.tolist()):
            counts[code] += 1
    counts[:2] = 0
    least = np.sort(counts)[-3]
    assert len(federation.vocabulary) == 5 and len(train) == 4
    assert all(counts[everything.vocabulary.index(word)] >= least for word in federation.vocabulary[2:])


def test_an_own_training_set_never_changes_what_another_test_example_is(root: Path) -> None:
    """A word that occurs in one client's test examples alone has no code, whatever its frequency there."""
    federation = messages(root)
    held = federation.splits["client_test"][1]
    found = words_in(federation, held.batch(torch.arange(len(held)))[0])
    assert not {word for word in found if word.startswith("word")}


def test_a_message_without_words_is_an_unknown_one(root: Path) -> None:
    (root / "sms" / "SMSSpamCollection").write_text("ham\t \nspam\twin\n")
    arrays = Sms(length=3).read(root)
    assert arrays.features.tolist() == [[UNKNOWN, PADDING, PADDING], [2, PADDING, PADDING]]


@pytest.mark.parametrize(
    ("line", "said"), [("win now\n", "line 1 does not begin with ham or spam"), ("\n", "no lines")]
)
def test_other_files_are_refused(root: Path, line: str, said: str) -> None:
    (root / "sms" / "SMSSpamCollection").write_text(line)
    with pytest.raises(UserError, match=said):
        Sms().read(root)


@pytest.mark.parametrize(
    ("arguments", "said"), [({"words": 2}, "dataset.words must be 3"), ({"length": 0}, "dataset.length")]
)
def test_sizes_are_checked(arguments: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Sms(**arguments)


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "said"),
    [
        ([[2, 0]], ("a", "b", "c"), "must begin with <pad> and <unknown>"),
        ([[0.5, 1.0]], (*RESERVED, "a"), "must be integers of shape"),
        ([[3, 0]], (*RESERVED, "a"), "must be 0 to 2"),
        ([[2, 0], [0, 0]], (*RESERVED, "a"), "got none in example 1"),
    ],
)
def test_tokens_that_are_none_are_refused(tokens: list[list[float]], vocabulary: tuple[str, ...], said: str) -> None:
    given = Arrays(np.array(tokens), np.zeros(len(tokens), int), DatasetFacts(("x", "y"), vocabulary=vocabulary))
    with pytest.raises(UserError, match=said):
        checked(given, "mine")


def test_a_vocabulary_that_is_given_keeps_its_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Letters:
        def files(self, root: Path) -> list[Path]:
            return []

        def read(self, root: Path) -> Arrays:
            tokens = np.arange(120).reshape(40, 3) % 4 + 1
            return Arrays(tokens, np.arange(40) % 2, DatasetFacts(("x", "y"), vocabulary=(*RESERVED, "a", "b", "c")))

    monkeypatch.setattr("fedlayers.data.load.source_of", lambda _: Letters())
    federation = load_federation(config("sms", "iid", data={"name": "letters"}, clients=2))
    own = federation.splits["client_train"][0]
    places = own.index.tolist()
    assert federation.vocabulary == (*RESERVED, "a", "b", "c")
    assert own.batch(torch.arange(len(own)))[0].tolist() == [[(3 * k + j) % 4 + 1 for j in range(3)] for k in places]


METRICS = "metrics=[evaluation,gradients,sensitivity,curvature,similarity,representation,distances]"
CHEAP = ["metrics.curvature.steps=6", "metrics.curvature.eigenvalues=2", "metrics.curvature.density_runs=0"]
CHEAP += ["metrics.curvature.probes=[2,3]", "metrics.curvature.batch_examples=8", "metrics.curvature.rounds=[last]"]


@pytest.mark.slow
def test_every_metric_measures_a_federation_of_messages(quick_run: Callable[..., Path], root: Path) -> None:
    given = [f"data_dir={root}", "dataset=sms", "dataset.length=4", "dataset.words=12", "model.width=4"]
    records = fedlayers.read(
        quick_run(
            *given,
            METRICS,
            "metrics.curvature.moments=[after_local]",
            "clients=2",
            "rounds=1",
            "examples_per_client=null",
        )
    ).records
    assert {"tokens", "places", "attention", "attention.out_proj"} <= set(records["layer"].dropna())
    # Places are the same for all examples, and two classes of a handful may be one.
    understood = (
        "not distinguishable",
        "a batch needs",
        "same for all",
        "norm layers",
        "singular",
        "0/0",
        "one class",
        "more examples than units",
        "do not vary",
    )
    reasons = set(records.loc[records["status"] == "missing", "reason"])
    assert [reason for reason in reasons if not any(part in reason for part in understood)] == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("training.augment=[flip]", r"training.augment must be \[\] unless examples are images"),
        ("plant.kind=rotation", "plant.kind must be permuted_labels unless examples are images"),
        ("model=cnn", "cnn"),
        ("model=deep_mlp", "model must take tokens, integers of shape"),
    ],
)
def test_what_words_cannot_be_is_told_before_the_run(
    quick_run: Callable[..., Path], root: Path, word: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        quick_run(f"data_dir={root}", "dataset=sms", "examples_per_client=null", word)


@pytest.mark.parametrize("metric", ["similarity", "distances", "clusters"])
def test_padding_is_no_sample(quick_run: Callable[..., Path], root: Path, metric: str) -> None:
    chosen = {"distances": ["metrics.distances.names=[cka_dst]"], "clusters": ["metrics.clusters.distance=cka_dst"]}
    said = rf"metrics\.{metric}\.positions must be pooled or flattened for examples of different lengths"
    words = [f"metrics=[{metric}]", f"metrics.{metric}.positions=samples", *chosen.get(metric, [])]
    with pytest.raises(UserError, match=said):
        quick_run(f"data_dir={root}", "dataset=sms", "examples_per_client=null", *words)


def test_clients_of_messages_train_as_one_like_each_alone(quick_run: Callable[..., Path], root: Path) -> None:
    given = [f"data_dir={root}", "dataset=sms", "dataset.length=5", "examples_per_client=null", "rounds=1"]
    found = [
        fedlayers.read(quick_run(*given, f"training.cohort={count}")).records["value"].to_numpy() for count in (1, 4)
    ]
    alone, cohort = found
    np.testing.assert_allclose(alone, cohort, rtol=1e-4, atol=1e-5)


@needs_real_data
def test_the_real_messages_are_read() -> None:
    federation = load_federation(config("sms", "iid", clients=3))
    assert len(federation.vocabulary) == 2000 and "free" in federation.vocabulary
