"""Data of which several labels of an example may hold, from an ARFF file to the end of a federation."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import fedlayers
from fedlayers.core.errors import UserError
from fedlayers.data.formats.arff import read_arff
from fedlayers.data.load import load_federation
from fedlayers.data.sets.emotions import Emotions
from fedlayers.data.source import Arrays, DatasetFacts
from fedlayers.data.validation import checked
from tests.support.data_configs import REAL_DATA, config, needs_real_data

NAMES = [f"label {c}" for c in "abcdef"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))


def table() -> np.ndarray:
    """120 examples of three numbers, and six labels that depend on them."""
    random = np.random.default_rng(0)
    numbers = random.standard_normal((120, 3)).round(3)
    labels = numbers @ random.standard_normal((3, 6)) + 0.3 * random.standard_normal((120, 6)) > 0
    return np.concatenate([numbers, labels], 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    head = ["% made up", "@relation x", *(f"@ATTRIBUTE number{k} numeric" for k in range(3))]
    head += [f"@attribute '{name}' {{0, 1}}" for name in NAMES]
    rows = [",".join([*map(str, row[:3]), *(str(int(label)) for label in row[3:])]) for row in table()]
    (tmp_path / "emotions").mkdir()
    text = "\n".join([*head, "", "@data", *rows]) + "\n"
    (tmp_path / "emotions" / "emotions.arff.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def run_of(quick_run: Callable[..., Path], root: Path, *words: str) -> Path:
    return quick_run("dataset=emotions", f"data_dir={root}", "examples_per_client=null", *words)


def test_the_file_is_read_whatever_its_spelling(root: Path) -> None:
    arrays = Emotions().read(root)
    np.testing.assert_allclose(arrays.features, table()[:, :3], rtol=1e-6)
    np.testing.assert_array_equal(arrays.labels, table()[:, 3:])
    assert arrays.facts.classes == tuple(NAMES) and arrays.facts.columns[0] == "number0"


def test_rows_that_name_what_is_not_zero_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.arff").write_text("@attribute a real\n@attribute b {no,yes}\n@data\n{0 2.5, 1 yes}\n{ }\n?, no\n")
    np.testing.assert_array_equal(read_arff(tmp_path / "x.arff").rows, [[2.5, 1], [0, 0], [np.nan, 0]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@attribute a real\n1\n", "no line @data"),
        ("@attribute a real\n@data\n", "it has no rows"),
        ("@data\n1\n", "it has no attributes"),
        ("@attribute a string\n@data\nx\n", "an attribute is neither numbers nor a list of values: '@attribute a s"),
        ("@attribute a real\n@data\n1,2\n", "line 3 does not have 1 values"),
        ("@attribute a real\n@data\nx\n", "line 3: could not convert"),
        ("@attribute a {0,1}\n@data\n2\n", "line 3 has '2', which is none of 0, 1"),
        ("@attribute a real\n@data\n{4 1}\n", "line 3 is no list of columns and values"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.arff").write_text(text)
    with pytest.raises(UserError, match=said):
        read_arff(tmp_path / "x.arff")


def test_what_is_not_packed_or_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has the files of emotions, which are not downloaded, .* unpack emotions.rar"):
        Emotions().files(tmp_path)
    (tmp_path / "x.arff.gz").write_bytes(b"no gzip")
    with pytest.raises(UserError, match=r"x\.arff\.gz is damaged"):
        read_arff(tmp_path / "x.arff.gz")
    (tmp_path / "emotions").mkdir()
    (tmp_path / "emotions" / "emotions.arff").write_text("@attribute a real\n@data\n1\n")
    with pytest.raises(UserError, match="its last 6 attributes are not all 0 or 1"):
        Emotions().read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "groups", "said"),
    [
        (np.array([[0, 2], [1, 0]]), (), "label sets of mine must be 0 or 1 for each of 2 examples and 2 labels"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), (), "label sets of mine must be 0 or 1"),
        (np.array([[0, 1], [1, 0]]), ("a",), "label_groups of mine must name a group for each of 2 labels"),
        (np.array([0, 1]), ("a", "b"), "label_groups of mine must name a group for each of 2 labels of label sets"),
    ],
)
def test_labels_that_are_no_sets_are_refused(labels: np.ndarray, groups: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        checked(Arrays(np.zeros((2, 1)), labels, DatasetFacts(("x", "y"), label_groups=groups)), "mine")


def test_counts_are_of_labels_and_every_example_counts_for_all_of_its_labels(root: Path) -> None:
    federation = load_federation(config("emotions", "iid", clients=3, data_dir=str(root)))
    train = federation.splits["client_train"][1].targets()
    assert federation.has_label_sets and torch.equal(federation.class_counts(1), train.sum(0))
    counts = federation.label_counts()
    own = counts[(counts["client"] == 1) & (counts["scope"] == "client_train")].set_index("label_name")["examples"]
    assert [int(own.get(name, 0)) for name in NAMES] == train.sum(0).tolist()


def test_partitions_by_label_deal_out_whole_combinations(root: Path) -> None:
    part = {"num_classes_per_partition": 2}
    federation = load_federation(config("emotions", "pathological", part=part, clients=4, data_dir=str(root)))
    for client in range(4):
        own = torch.cat([parts[client].targets() for parts in federation.splits.values() if len(parts[client])])
        assert len(np.unique(own.numpy(), axis=0)) <= 2


def test_a_federation_learns_and_every_metric_says_what_it_can(quick_run: Callable[..., Path], root: Path) -> None:
    metrics = "metrics=[evaluation,weights,gradients,sensitivity,similarity,representation,readout,exits]"
    records = fedlayers.read(
        run_of(quick_run, root, metrics, "rounds=1", "training.epochs=4", "training.lr=0.5", "clients=2")
    ).records
    final = records[(records["moment"] == "final") & (records["scope"] == "server_test") & records["layer"].isna()]
    values = final.set_index("metric")["value"]
    assert values["micro_f1"] > 0.6 and values["average_precision"] > 0.6 and values["hamming_loss"] < 0.3
    missing = records[records["status"] == "missing"]
    assert {"accuracy", "mcc", "probe_accuracy", "label_information", "within_class_share"} <= set(missing["metric"])
    understood = "several labels of an example may hold|units are needed|a batch needs|not distinguishable|do not vary"
    assert set(missing["reason"][~missing["reason"].str.contains(understood)]) == set()


def test_groups_of_labels_have_scores_of_their_own(
    quick_run: Callable[..., Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Emotions.read

    def grouped(self: Emotions, root: Path) -> Arrays:
        arrays = read(self, root)
        facts = DatasetFacts(arrays.facts.classes, label_groups=("mood",) * 4 + ("force",) * 2)
        return Arrays(arrays.features, arrays.labels, facts)

    monkeypatch.setattr(Emotions, "read", grouped)
    records = fedlayers.read(run_of(quick_run, root, "metrics=[evaluation]", "rounds=1")).records
    rows = records[(records["metric"] == "hamming_loss") & (records["scope"] == "server_test")]
    whole, mood, force = (
        rows[rows["subject"].isna() if group is None else rows["subject"] == group]["value"].to_numpy()
        for group in (None, "mood", "force")
    )
    np.testing.assert_allclose(whole, (4 * mood + 2 * force) / 6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["objective=focal"], "objective must be one of label sets with dataset=emotions, .* set objective=binary_cro"),
        (["learner=greedy"], "learner must be end_to_end with dataset=emotions"),
        (["plant.kind=permuted_labels"], "plant.kind must be rotation or null where several labels of an example"),
        (["algorithm=fedlc"], "algorithm must go without classes with dataset=emotions, .* got fedlc"),
        (["algorithm=fedproto"], "algorithm must go without classes with dataset=emotions, .* got fedproto"),
        (["algorithm=fedrod"], "algorithm must go without classes with dataset=emotions, .* got fedrod"),
    ],
)
def test_what_needs_one_class_is_refused_before_the_run(
    quick_run: Callable[..., Path], root: Path, words: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        run_of(quick_run, root, "metrics=[evaluation]", *words)


def test_a_run_of_label_sets_has_no_confusion_to_assess(quick_run: Callable[..., Path], root: Path) -> None:
    from fedlayers.opening.assessment import assess

    run = fedlayers.open(run_of(quick_run, root, "metrics=[evaluation]", "rounds=1"))
    with pytest.raises(UserError, match="must be of data with one class an example to be assessed, got label sets"):
        assess(run, "last")


@needs_real_data
def test_the_real_songs_are_read() -> None:
    arrays = Emotions().read(REAL_DATA)
    # As published: 593 songs, 72 features, 6 labels, cardinality 1.869.
    assert arrays.features.shape == (593, 72) and arrays.labels.sum(1).mean() == pytest.approx(1.869, abs=1e-3)
