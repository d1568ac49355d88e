"""load_federation: every data set, the cache, memory mapping, determinism, and who holds what."""

import gc
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fedlayers.config.compose import compose_config
from fedlayers.config.schema.examples import Plant
from fedlayers.config.schema.settings import Config
from fedlayers.core.errors import UserError
from fedlayers.data import Examples, Federation, load_federation
from fedlayers.runs.partition_table import with_zeros
from tests.support.data_configs import (
    HEART_ROWS,
    config,
    idx_bytes,
    needs_real_data,
    write_heart,
    write_mnist_like,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def check_consistent(federation: Federation) -> None:
    """Every example is in one place only, and batches are finite floats of the announced shape."""
    parts = [examples for scope in federation.splits.values() for examples in scope] + [federation.server_test]
    positions = torch.cat([examples.index for examples in parts])
    assert len(np.unique(positions.numpy())) == len(positions)
    assert torch.equal(
        federation.pooled_train.index, torch.cat([part.index for part in federation.splits["client_train"]])
    )
    for examples in [*parts, federation.pooled_train]:
        if len(examples):
            features, labels = examples.batch(torch.arange(min(len(examples), 64)))
            assert features.dtype == torch.float32 and features.shape[1:] == federation.shape
            assert torch.isfinite(features).all()
            assert labels.dtype == torch.int64 and labels.min() >= 0 and labels.max() < len(federation.classes)
    assert all(len(examples) >= 1 for examples in federation.splits["client_train"])


def all_positions(federation: Federation) -> list[int]:
    parts = [examples.index for scope in federation.splits.values() for examples in scope]
    return sorted(torch.cat([*parts, federation.server_test.index]).tolist())


def test_the_default_data_set_is_split_without_overlap_and_covered() -> None:
    federation = load_federation(config("digits", "dirichlet"))
    check_consistent(federation)
    assert federation.shape == (1, 8, 8) and federation.classes == tuple("0123456789")
    assert federation.num_clients == 10
    assert repr(federation).startswith(f"<{federation.name}: 10 clients, ") and len(repr(federation)) < 200
    assert all_positions(federation) == list(range(1797))
    assert len(federation.server_test) == round(0.15 * 1797)
    assert federation.notes == ()


def test_digits_are_those_of_scikit_learn_and_normalised() -> None:
    from sklearn.datasets import load_digits

    federation = load_federation(config("digits"))
    examples = federation.server_test
    features, labels = examples.batch(torch.arange(len(examples)))
    bunch = load_digits()
    chosen = examples.index.numpy()
    expected = (bunch.images[chosen] - 4.884) / 6.017
    np.testing.assert_allclose(features[:, 0].numpy(), expected, atol=1e-5)
    np.testing.assert_array_equal(labels.numpy(), bunch.target[chosen])
    pooled, _ = federation.pooled_train.batch(torch.arange(len(federation.pooled_train)))
    assert abs(float(pooled.mean())) < 0.02 and abs(float(pooled.std()) - 1) < 0.02


@needs_real_data
@pytest.mark.parametrize(
    ("name", "partition", "shape", "classes", "server_test"),
    [
        ("FMNIST", "dirichlet", (1, 28, 28), 10, 10_000),
        ("CIFAR10", "dirichlet", (3, 32, 32), 10, 2_000),
        ("Heart", "natural", (10,), 5, 138),
    ],
)
def test_real_data_sets_load(name: str, partition: str, shape: tuple[int, ...], classes: int, server_test: int) -> None:
    federation = load_federation(config(name, partition, examples_per_client=500 if name == "FMNIST" else None))
    check_consistent(federation)
    assert federation.name == name and federation.shape == shape and len(federation.classes) == classes
    assert len(federation.server_test) == server_test
    everything = federation.pooled_train
    features, _ = everything.batch(torch.arange(min(2_000, len(everything))))
    assert abs(float(features.mean())) < 0.1 and abs(float(features.std()) - 1) < 0.1


@needs_real_data
def test_a_second_load_only_maps_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = config("FMNIST", "dirichlet")
    first = load_federation(chosen)
    monkeypatch.setattr("fedlayers.data.sets.mnist.IdxImages.read", lambda *_: pytest.fail("read the files again"))
    monkeypatch.setattr("fedlayers.data.partitioning.assign.partition", lambda *_: pytest.fail("partitioned again"))
    tracemalloc.start()
    second = load_federation(chosen)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000  # 70,000 pictures are 55 MB
    assert all_positions(first) == all_positions(second)


@pytest.mark.parametrize(
    ("name", "folder", "prefixes", "classes", "extra", "zipped"),
    [
        ("MNIST", "MNIST", ("train", "t10k"), 10, {}, True),
        ("KMNIST", "KMNIST", ("train", "t10k"), 10, {}, False),
        ("FMNIST", "FashionMNIST", ("train", "t10k"), 10, {}, False),
        ("EMNIST", "EMNIST", ("emnist-byclass-train", "emnist-byclass-test"), 62, {}, True),
        ("EMNIST", "EMNIST", ("emnist-balanced-train", "emnist-balanced-test"), 47, {"split": "balanced"}, False),
    ],
    ids=["MNIST", "KMNIST", "FMNIST", "EMNIST-byclass", "EMNIST-balanced"],
)
def test_the_mnist_family_loads_from_torchvisions_layout(
    tmp_path: Path, name: str, folder: str, prefixes: tuple[str, str], classes: int, extra: dict[str, str], zipped: bool
) -> None:
    images = write_mnist_like(tmp_path / folder / "raw", prefixes, classes, zipped)
    federation = load_federation(config(name, "iid", data=extra, clients=3, data_dir=str(tmp_path)))
    check_consistent(federation)
    assert len(federation.classes) == classes == len(set(federation.classes))
    assert federation.server_test.index.tolist() == list(range(60, 90))
    upright = images.transpose(0, 2, 1) if name == "EMNIST" else images
    np.testing.assert_array_equal(federation.server_test.features[:, 0].numpy(), upright)


def test_cifar_files_may_have_any_number_of_examples(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    generator = np.random.default_rng(0)
    sizes = {f"data_batch_{k}.bin": 4 + k for k in range(1, 6)} | {"test_batch.bin": 6}
    written = []
    for file, size in sizes.items():
        examples = generator.integers(0, 256, (size, 3073)).astype(np.uint8)
        examples[:, 0] = np.arange(size) % 10
        (folder / file).write_bytes(examples.tobytes())
        written.append(examples)
    federation = load_federation(config("CIFAR10", "iid", clients=2, data_dir=str(tmp_path)))
    check_consistent(federation)
    everything = np.concatenate(written)
    assert federation.server_test.index.tolist() == list(range(35, 41))
    np.testing.assert_array_equal(federation.server_test.features.numpy(), everything[:, 1:].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(federation.server_test.labels.numpy(), everything[:, 0])
    features, _ = federation.server_test.batch(torch.tensor([2]))
    red = (everything[37, 1:1025].astype(float) / 255 - 0.4914) / 0.2470
    np.testing.assert_allclose(features[0, 0].numpy().ravel(), red, atol=1e-5)


def test_cifar_100_has_fine_labels_behind_the_coarse_ones(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    generator = np.random.default_rng(0)
    train, test = (generator.integers(0, 256, (size, 3074)).astype(np.uint8) for size in (120, 7))
    for file, examples in (("train.bin", train), ("test.bin", test)):
        examples[:, 0] = np.arange(len(examples)) % 20
        examples[:, 1] = (np.arange(len(examples)) * 13) % 100
        (folder / file).write_bytes(examples.tobytes())
    federation = load_federation(config("CIFAR100", "iid", clients=2, data_dir=str(tmp_path)))
    check_consistent(federation)
    assert len(federation.classes) == len(set(federation.classes)) == 100
    assert (federation.classes[0], federation.classes[47], federation.classes[-1]) == ("apple", "maple_tree", "worm")
    assert list(federation.classes) == sorted(federation.classes)
    assert federation.server_test.index.tolist() == list(range(120, 127))
    everything = np.concatenate([train, test])
    np.testing.assert_array_equal(federation.server_test.features.numpy(), everything[:, 2:].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(federation.server_test.labels.numpy(), everything[:, 1])
    features, _ = federation.server_test.batch(torch.tensor([2]))
    blue = (test[2, -1024:].astype(float) / 255 - 0.4409) / 0.2762
    np.testing.assert_allclose(features[0, 2].numpy().ravel(), blue, atol=1e-5)


def test_hearts_natural_clients_are_its_hospitals(tmp_path: Path) -> None:
    write_heart(tmp_path)
    federation = load_federation(config("Heart", "natural", data_dir=str(tmp_path)))
    check_consistent(federation)
    assert federation.client_names == tuple(HEART_ROWS)
    ends = np.cumsum(list(HEART_ROWS.values()))
    for client, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        mine = torch.cat([parts[client].index for parts in federation.splits.values()])
        assert start <= mine.min() and mine.max() < end
    assert all_positions(federation) == list(range(58))
    assert federation.classes[0] == "no disease" and len(federation.classes) == 5


def test_heart_with_two_classes_and_all_features(tmp_path: Path) -> None:
    write_heart(tmp_path)
    five = load_federation(config("Heart", "natural", data_dir=str(tmp_path)))
    two = load_federation(config("Heart", "natural", data={"classes": 2, "features": 13}, data_dir=str(tmp_path)))
    assert two.shape == (13,) and two.classes == ("no disease", "disease")
    assert torch.equal(two.server_test.labels, (five.server_test.labels > 0).long())


def test_fewer_clients_than_groups_take_the_first_groups(tmp_path: Path) -> None:
    write_heart(tmp_path)
    federation = load_federation(config("Heart", "natural", clients=2, data_dir=str(tmp_path)))
    assert federation.client_names == ("cleveland", "hungarian")
    assert all_positions(federation) == list(range(36)), "the server's test set is of the same hospitals"
    assert federation.notes == ("clients=2 of 4 groups take part, the first ones: cleveland, hungarian",)


def test_features_are_memory_mapped(cache: Path) -> None:
    from fedlayers.data.cache import open_array

    federation = load_federation(config("digits"))
    file = next(cache.glob("prepared/digits-*/features.npy"))
    assert isinstance(open_array(file), np.memmap)
    address = federation.server_test.features.data_ptr()
    ranges = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    bounds = [[int(end, 16) for end in entry[0].split("-")] for entry in ranges]
    assert any(low <= address < high for low, high in bounds)


def test_every_split_shares_one_feature_array() -> None:
    federation = load_federation(config("digits"))
    pointers = {part.features.data_ptr() for parts in federation.splits.values() for part in parts}
    assert pointers == {federation.server_test.features.data_ptr()}


def positions_of(chosen: Config) -> list[list[int]]:
    federation = load_federation(chosen)
    return [part.index.tolist() for parts in federation.splits.values() for part in parts]


def test_the_same_seed_gives_the_same_federation_and_another_seed_another(cache: Path) -> None:
    first = positions_of(config("digits", "dirichlet", seed=3))
    shutil.rmtree(cache)
    assert positions_of(config("digits", "dirichlet", seed=3)) == first
    assert positions_of(config("digits", "dirichlet", seed=4)) != first


def test_partitions_of_one_data_set_are_cached_side_by_side(cache: Path) -> None:
    before = positions_of(config("digits", "iid"))
    positions_of(config("digits", "shard"))
    positions_of(config("digits", "iid", split={"train": 0.7, "val": 0.2}))
    assert positions_of(config("digits", "iid")) == before
    assert len(list(cache.glob("partitions/[0-9a-f]*"))) == 3
    assert len(list(cache.glob("prepared/digits-*"))) == 1


def test_changed_files_are_prepared_again(tmp_path: Path) -> None:
    write_heart(tmp_path)
    chosen = config("Heart", "natural", data_dir=str(tmp_path))
    assert len(all_positions(load_federation(chosen))) == 58
    path = tmp_path / "heart" / "processed.va.data"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    assert len(all_positions(load_federation(chosen))) == 56


def test_label_counts_count_every_example_once() -> None:
    federation = load_federation(config("digits", "pathological"))
    counts = with_zeros(federation.label_counts())
    assert list(counts.columns) == ["client", "client_name", "scope", "label", "label_name", "examples"]
    assert len(counts) == 3 * 10 * 10
    for scope, parts in federation.splits.items():
        for client, examples in enumerate(parts):
            labels = examples.labels[examples.index].tolist()
            rows = counts[(counts["scope"] == scope) & (counts["client"] == client)]
            assert rows["examples"].tolist() == [labels.count(label) for label in range(10)]
            assert rows["label_name"].tolist() == list(federation.classes)
            assert set(rows["client_name"]) == {str(client)}


def test_the_table_of_label_counts_has_no_rows_for_what_nobody_holds_but_those_of_the_first_client() -> None:
    counts = load_federation(config("digits", "iid", clients=764)).label_counts()
    assert (counts[counts["client"] == 0].groupby(["scope", "label"]).size() == 1).all()
    assert len(counts) < 2 * 764 + 30 and (counts.loc[counts["client"] > 0, "examples"] > 0).all()
    assert len(with_zeros(counts)) == 764 * 3 * 10 and with_zeros(counts)["examples"].sum() == counts["examples"].sum()


def test_clients_that_are_not_listed_are_counted_together() -> None:
    federation = load_federation(config("digits", "dirichlet", plant=Plant("permuted_labels", 2)))
    every, some = federation.label_counts(), with_zeros(federation.label_counts([2, 7]))
    for client in (2, 7):
        pd.testing.assert_frame_equal(
            some[some["client"] == client].reset_index(drop=True),
            with_zeros(every).query("client == @client").reset_index(drop=True),
            check_dtype=False,
        )
    others = some[some["client"].isna()].set_index(["scope", "label"])
    rest = every[~every["client"].isin([2, 7])].groupby(["scope", "label"])["examples"].sum()
    assert others["examples"].sub(rest, fill_value=0).abs().sum() == 0 and set(others["client_name"]) == {"the others"}
    assert others["planted_group"].isna().all()


def test_a_client_without_examples_for_a_scope_leaves_it_out() -> None:
    federation = load_federation(config("digits", clients=764))
    assert set(federation.of(763)) == {"client_train"}
    assert (
        with_zeros(federation.label_counts()).query("client == 763 and scope == 'client_val'")["examples"] == 0
    ).all()


def test_what_nobody_asks_for_costs_arrays_and_no_objects() -> None:
    chosen = config("digits", "iid", clients=1500)
    load_federation(chosen)  # from now on it is in the cache
    tracemalloc.start()
    federation = load_federation(chosen)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 300_000  # 4,500 objects would take more than 1 MB
    parts = federation.splits["client_train"]
    assert len(parts) == federation.num_clients == 1500 and parts.sizes.sum() == len(federation.pooled_train)
    assert torch.equal(parts[-1].index, list(parts)[1499].index)
    assert [len(one) for one in parts[2:4]] == parts.sizes[2:4].tolist()
    with pytest.raises(IndexError, match="out of range"):
        parts[1500]


def test_examples_per_client_caps_before_splitting() -> None:
    federation = load_federation(config("digits", "quantity", examples_per_client=100))
    sizes = [sum(len(parts[client]) for parts in federation.splits.values()) for client in range(10)]
    assert max(sizes) == 100 and min(sizes) < 100
    assert len(federation.splits["client_train"][9]) == 80


def test_examples_per_client_that_no_client_has_is_refused() -> None:
    with pytest.raises(UserError, match=r"examples_per_client must be at most 153.*got 1000; set it to null"):
        load_federation(config("digits", examples_per_client=1000))


def test_no_server_test_set_and_no_validation() -> None:
    shares = {"train": 1.0, "val": 0.0, "test": 0.0, "server_test": 0.0}
    federation = load_federation(config("digits", split=shares))
    assert len(federation.server_test) == 0
    assert len(federation.pooled_train) == 1797


def test_a_missing_data_set_says_which_files_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pooch
    import requests

    def no_network(url: str, *_: object, **__: object) -> str:
        raise requests.exceptions.ConnectionError(f"cannot reach {url}")

    monkeypatch.setattr(pooch, "retrieve", no_network)
    with pytest.raises(UserError, match="data_dir must name a folder that has the files of MNIST") as caught:
        load_federation(config("MNIST", data_dir=str(tmp_path)))
    text = str(caught.value)
    for file in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        assert f"{tmp_path}/MNIST/raw/{file}-ubyte.gz  from https://" in text
    assert "FEDLAYERS_DATA" in text and "ConnectionError" in text
    assert not list(tmp_path.glob("MNIST")), "a failed download leaves nothing behind"


def test_an_unwritable_cache_is_a_users_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="FEDLAYERS_CACHE must name a folder that can be written to"):
        load_federation(config("digits"))


def test_labels_without_examples_for_training_are_refused(tmp_path: Path) -> None:
    write_mnist_like(tmp_path / "MNIST" / "raw", ("train", "t10k"), 10)
    for kind, array in (("images-idx3", np.zeros((0, 28, 28))), ("labels-idx1", np.zeros(0))):
        (tmp_path / "MNIST" / "raw" / f"train-{kind}-ubyte.gz").unlink()
        (tmp_path / "MNIST" / "raw" / f"train-{kind}-ubyte").write_bytes(idx_bytes(array))
    with pytest.raises(UserError, match="dataset must have training examples, got none in MNIST"):
        load_federation(config("MNIST", data_dir=str(tmp_path)))


@pytest.mark.parametrize(
    ("words", "partition", "model"),
    [
        (["dataset=digits"], "dirichlet", "mlp"),
        (["+dataset=FMNIST"], "dirichlet", "cnn"),
        (["dataset=MNIST"], "dirichlet", "cnn"),
        (["dataset=KMNIST"], "dirichlet", "cnn"),
        (["dataset=EMNIST"], "dirichlet", "cnn"),
        (["dataset=CIFAR10"], "dirichlet", "cnn"),
        (["dataset=CIFAR100"], "dirichlet", "cnn"),
        (["dataset=Heart"], "natural", "playerfl_heart"),
        (["dataset=hub", "dataset.path=owner/name"], "dirichlet", "mlp"),
        (["dataset=Heart", "partition=iid", "model=mlp"], "iid", "mlp"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_data_sets_choose_partition_and_model_unless_told_otherwise(
    words: list[str], partition: str, model: str
) -> None:
    composed = compose_config([*words, "metrics=[evaluation]"])
    assert (composed.partition["name"], composed.model["name"]) == (partition, model)


def test_batches_are_gathered_in_the_order_asked_for() -> None:
    features = torch.arange(12, dtype=torch.uint8).reshape(6, 2)
    examples = Examples(features, torch.arange(6) * 10, torch.tensor([5, 3, 1]), torch.tensor(2.0), torch.tensor(-1.0))
    got, labels = examples.batch(torch.tensor([2, 0, 0]))
    assert got.tolist() == [[3.0, 5.0], [19.0, 21.0], [19.0, 21.0]]
    assert labels.tolist() == [10, 50, 50]
    assert features.tolist() == torch.arange(12).reshape(6, 2).tolist(), "the stored features stay as they are"
