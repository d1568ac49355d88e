"""Partitions: what each kind does to labels and sizes, and what is said about impossible requests."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from fedlayers.config.building import build_plugin
from fedlayers.core.errors import UserError
from fedlayers.data import load_federation
from fedlayers.data.partitioning.advice import advice
from fedlayers.data.partitioning.partition import Pool, partition, resolve
from fedlayers.data.partitioning.table import Table, positions_in, table_of
from tests.support.data_configs import config, option, write_heart, write_mnist_like


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # One cache for the file: the digits are prepared once, every partition has its own key.
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path_factory.getbasetemp() / "partition_cache"))


def pool_of(examples: int, classes: int = 10) -> Pool:
    return Pool(np.arange(examples) * 3, np.sort(np.arange(examples) % classes), None)


def parts_of(
    name: str, clients: int | None = None, seed: int = 0, examples: int = 2_000, **changes: Any
) -> list[np.ndarray]:
    """Return the positions of each client's examples in a sorted, balanced pool."""
    return partition(pool_of(examples), resolve(option("partition", name, changes), clients, seed), 10, "made-up")


def label_shares(parts: list[np.ndarray], examples: int = 2_000) -> np.ndarray:
    """Return every client's share of each label, shape (clients, 10)."""
    labels = np.sort(np.arange(examples) % 10)
    counts = [np.bincount(labels[part // 3], minlength=10) for part in parts]
    return np.array([count / count.sum() for count in counts])


@pytest.mark.parametrize("name", ["iid", "dirichlet", "pathological", "shard", "quantity"])
def test_every_kind_hands_each_example_out_once_and_follows_the_seed(name: str) -> None:
    first, again, other = (parts_of(name, seed=seed) for seed in (0, 0, 1))
    positions = np.concatenate(first)
    assert len(first) == 10
    assert len(np.unique(positions)) == len(positions) and set(positions) <= set(range(0, 6_000, 3))
    assert len(positions) == 2_000 or name == "shard"
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_iid_clients_have_equal_sizes_and_nearly_equal_labels() -> None:
    parts = parts_of("iid")
    assert {len(part) for part in parts} == {200}
    # 200 draws without replacement: the standard error of a share of 0.1 is below 0.0213.
    assert np.abs(label_shares(parts) - 0.1).max() < 5 * 0.0213


def test_dirichlet_goes_from_one_label_to_equal_shares_with_alpha() -> None:
    spreads = [
        label_shares(parts_of("dirichlet", alpha=alpha, min_partition_size=1)).std(axis=0).mean()
        for alpha in (0.1, 1, 1_000)
    ]
    assert spreads[0] > spreads[1] > spreads[2]
    assert np.abs(label_shares(parts_of("dirichlet", alpha=10_000.0)) - 0.1).max() < 0.02
    assert label_shares(parts_of("dirichlet", alpha=0.1, min_partition_size=1)).max(axis=1).mean() > 0.4


def test_dirichlet_takes_one_alpha_per_client() -> None:
    sizes = [len(part) for part in parts_of("dirichlet", clients=3, alpha=[50.0, 100.0, 400.0])]
    assert sizes[0] < sizes[1] < sizes[2]


def test_dirichlet_keeps_the_smallest_size() -> None:
    assert min(len(part) for part in parts_of("dirichlet", alpha=1.0, min_partition_size=60)) >= 60


@pytest.mark.parametrize("classes", [1, 2, 5, 10])
def test_pathological_clients_have_so_many_labels(classes: int) -> None:
    shares = label_shares(parts_of("pathological", num_classes_per_partition=classes))
    assert ((shares > 0).sum(axis=1) == classes).all()
    assert (shares.sum(axis=0) > 0).all(), "every label is used"


def test_shards_hold_few_labels() -> None:
    assert ((label_shares(parts_of("shard")) > 0).sum(axis=1) <= 3).all()


def test_quantity_gives_the_kth_client_k_shares() -> None:
    sizes = np.array([len(part) for part in parts_of("quantity", clients=4)])
    np.testing.assert_allclose(sizes, 2_000 * np.array([1, 2, 3, 4]) / 10, atol=3)
    assert np.abs(label_shares(parts_of("quantity", clients=4)) - 0.1).max() < 0.12


@pytest.mark.parametrize(
    ("target", "arguments", "clients"),
    [
        ("ContinuousPartitioner", {"strictness": 0.5}, 10),
        ("InnerDirichletPartitioner", {"partition_sizes": [300, 200, 100], "alpha": 0.5}, 3),
        ("SizePartitioner", {"partition_sizes": [300, 200]}, 2),
        ("SquarePartitioner", {}, 10),
    ],
)
def test_other_partitioners_work_by_target(target: str, arguments: dict[str, Any], clients: int) -> None:
    spec = {"name": "other", "_target_": f"flwr_datasets.partitioner.{target}", **arguments}
    parts = partition(pool_of(2_000), resolve(spec, None, 0), 10, "made-up")
    assert len(parts) == clients and len(np.unique(np.concatenate(parts))) == sum(map(len, parts))


def test_groups_of_groups_are_clients_too(tmp_path: Path) -> None:
    write_heart(tmp_path)
    part = {"_target_": "flwr_datasets.partitioner.GroupedNaturalIdPartitioner", "name": "pairs", "group_size": 2}
    part["partition_by"] = "group"
    federation = load_federation(config("Heart", "natural", part=part, data_dir=str(tmp_path)))
    assert federation.client_names == ("0", "1")


def test_heart_may_be_partitioned_by_label(tmp_path: Path) -> None:
    write_heart(tmp_path)
    federation = load_federation(config("Heart", "iid", clients=3, data_dir=str(tmp_path)))
    assert federation.client_names == ("0", "1", "2")


def test_examples_that_nobody_gets_are_noted() -> None:
    federation = load_federation(config("digits", "shard"))
    assert federation.notes == ("partition=shard leaves out 7 of 1527 examples",)


def refused(match: str, name: str = "dirichlet", **values: Any) -> None:
    with pytest.raises(UserError, match=match):
        load_federation(config("digits", name, **values))


def test_an_impossible_dirichlet_says_what_works() -> None:
    with pytest.raises(UserError, match=r"partition=dirichlet must be possible, got digits .1527 examples\)") as caught:
        load_federation(config("digits", "dirichlet", clients=50, part={"alpha": 0.1, "min_partition_size": 10}))
    text = str(caught.value)
    assert "clients=50, alpha=0.1, min_partition_size=10" in text
    works = text.split("what works: ")[1].split(", or ")
    assert [setting.split("=")[0] for setting in works] == [
        "clients",
        "partition.alpha",
        "partition.min_partition_size",
    ]
    changes: list[dict[str, Any]] = [
        {"clients": int(works[0].split("=")[1]), "part": {"alpha": 0.1, "min_partition_size": 10}},
        {"clients": 50, "part": {"alpha": float(works[1].split("=")[1]), "min_partition_size": 10}},
        {"clients": 50, "part": {"alpha": 0.1, "min_partition_size": 1}},
    ]
    for change in changes:
        assert load_federation(config("digits", "dirichlet", **change)).num_clients == change["clients"]


def test_clients_left_without_examples_are_refused_with_advice() -> None:
    refused(
        r"partition=dirichlet must give every client an example, got none for \d+ of 50 clients; what works: clients=",
        clients=50,
        part={"alpha": 0.02, "min_partition_size": 0},
    )


def test_more_clients_than_examples() -> None:
    refused(
        r"clients must be at most 1527, the number of training examples of digits, got 2000; every client needs one",
        clients=2000,
    )


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), float("inf"), [1.0, -1.0], []], ids=str)
def test_bad_alphas(alpha: Any) -> None:
    refused(r"partition.alpha must be positive \(small: very different clients", part={"alpha": alpha})


def test_alpha_that_is_no_number() -> None:
    refused(r"partition.alpha must be .*got 'much'", part={"alpha": "much"})


def test_a_list_of_alphas_of_another_length() -> None:
    refused(r"partition cannot be built from .*DirichletPartitioner: .*length", part={"alpha": [1.0, 2.0]})


@pytest.mark.parametrize("classes", [0, 11])
def test_more_classes_per_client_than_there_are(classes: int) -> None:
    refused(
        rf"partition.num_classes_per_partition must be from 1 to 10, the number of classes of digits, got {classes}",
        "pathological",
        part={"num_classes_per_partition": classes},
    )


def test_more_clients_than_a_label_has_examples() -> None:
    refused(r"partition=pathological must be possible, .*what works: clients=\d+", "pathological", clients=900)


def test_a_partition_that_no_number_of_clients_makes_possible() -> None:
    refused(
        r"partition=shard must be possible, got digits .*shard_size=5000, which cannot be had \(.*\); change its arg",
        "shard",
        part={"shard_size": 5000},
    )


def test_more_shards_than_examples() -> None:
    refused(
        r"partition.num_shards_per_partition must be at most 1 with clients=900 and the 1527 examples of digits, got 2",
        "shard",
        clients=900,
    )


def test_an_unknown_argument() -> None:
    refused(r"partition.alphaa: DirichletPartitioner has no argument 'alphaa'", part={"alphaa": 1})


def test_an_unknown_partitioner() -> None:
    refused(r"partition._target_=.*has no class or function Nope", part={"_target_": "flwr_datasets.partitioner.Nope"})


def test_a_lacking_argument() -> None:
    target = "flwr_datasets.partitioner.ContinuousPartitioner"
    refused(
        rf"partition.strictness is needed by {target}; add \+partition.strictness", "iid", part={"_target_": target}
    )


def test_a_partitioner_of_columns() -> None:
    target = "flwr_datasets.partitioner.VerticalEvenPartitioner"
    refused(rf"partition._target_ must hand out examples, got {target}", "iid", part={"_target_": target})


def test_a_column_that_is_not_there() -> None:
    refused(r"partition.partition_by must be label or group, got 'colour'", part={"partition_by": "colour"})


def test_clients_that_contradict_the_partition() -> None:
    refused(
        r"clients must be null or 7, which partition.num_partitions says, got 5", clients=5, part={"num_partitions": 7}
    )
    part = {"_target_": "flwr_datasets.partitioner.SizePartitioner", "partition_sizes": [300, 200]}
    refused(r"clients must be 2 or null with partition=iid, got 3", "iid", clients=3, part=part)


def test_num_partitions_in_the_partition_counts() -> None:
    assert load_federation(config("digits", "iid", part={"num_partitions": 7})).num_clients == 7


def test_natural_needs_groups(tmp_path: Path) -> None:
    refused(r"partition=natural must be used with .*got dataset=digits: digits names no groups; use", "natural")
    prefixes = ("emnist-byclass-train", "emnist-byclass-test")
    write_mnist_like(tmp_path / "EMNIST" / "raw", prefixes, 62)
    with pytest.raises(UserError, match=r"dataset=EMNIST: the IDX files of EMNIST name no writers; use"):
        load_federation(config("EMNIST", "natural", data_dir=str(tmp_path)))


def test_more_clients_than_groups(tmp_path: Path) -> None:
    write_heart(tmp_path)
    match = r"clients must be at most 4 with partition=natural, .*\(cleveland, .*, va\), got 7; lower it"
    with pytest.raises(UserError, match=match):
        load_federation(config("Heart", "natural", clients=7, data_dir=str(tmp_path)))


def test_data_set_arguments_are_checked() -> None:
    with pytest.raises(UserError, match=r"dataset.speed: Digits has no argument 'speed'"):
        load_federation(config("digits", data={"speed": 3}))
    with pytest.raises(UserError, match=r"dataset.features must be 10 .* or 13, got 9"):
        load_federation(config("Heart", data={"features": 9}))


def test_arguments_that_a_constructor_refuses() -> None:
    with pytest.raises(UserError, match=r"^thing.sigma must be non-negative$"):
        build_plugin("thing", {"_target_": "statistics.NormalDist", "sigma": -1.0})


def test_advice_is_what_was_tried_and_worked() -> None:
    spec = {"alpha": 0.3, "min_partition_size": 5}

    def works(changes: Any, clients: int | None) -> bool:
        return (clients or 0) <= 12 or changes.get("alpha", 0) >= 2

    assert advice(works, 40, spec) == "; what works: clients=12, or partition.alpha=2"
    assert advice(lambda *_: False, 40, spec) == "; ask for fewer clients or a larger partition.alpha"
    assert advice(lambda *_: False, None, {}) == "; change its arguments"


def test_advice_ends_when_its_time_is_over() -> None:
    assert advice(lambda *_: pytest.fail("tried"), 40, {"alpha": 0.1}, limit_s=0.0).startswith("; ask for fewer")


@pytest.mark.parametrize("name", ["iid", "dirichlet", "pathological", "shard", "quantity", "natural"])
def test_parts_are_those_that_the_library_itself_makes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(np.arange(600) * 3, np.arange(600) % 10, np.arange(600) % 7)
    request = resolve(option("partition", name, {}), None if name == "natural" else 6, seed=0)
    ours = partition(pool, request, 10, "made-up")
    monkeypatch.setattr(Table, "select", Dataset.select)
    theirs = partition(pool, request, 10, "made-up")
    assert len(ours) == len(theirs)
    assert all(np.array_equal(left, right) for left, right in zip(ours, theirs, strict=True))


def test_a_part_of_a_table_is_a_data_set_of_the_library_for_whom_it_is_more() -> None:
    def rows(dataset: Dataset) -> list[int]:
        found = positions_in(dataset)
        assert found is not None
        return list(found)

    table = table_of({"label": np.arange(6) % 2, "position": np.arange(6) * 3})
    part = table.select(iter([5, 0, 3]))
    assert isinstance(part, Dataset) and rows(part.select(range(2))) == [15, 0]
    assert (len(part), part.column_names, part[:]["label"].to_pylist()) == (3, ["label", "position"], [1, 0, 1])
    assert rows(part.sort("position")) == [0, 9, 15] and rows(part) == [15, 0, 9]
    assert rows(table.shuffle(seed=1)) == table.shuffle(seed=1)[:]["position"].to_pylist()
    assert positions_in(part.remove_columns("position")) is None
    assert part.with_format("numpy")[0]["position"] == 15
