"""Data sets of the hub's formats, from local parquet files and folders."""

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fedlayers.data import load_federation
from fedlayers.data.columns import choose_columns
from fedlayers.data.hub import Hub
from fedlayers.data.images import to_array
from fedlayers.data.source import Arrays
from fedlayers.errors import UserError
from tests.data_configs import config

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 5, 6, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def write(path: Path, columns: dict[str, list[Any]], names: list[str] | None = None) -> Path:
    """Write a parquet file as the library does, so that it remembers its column types."""
    table = datasets.Dataset.from_dict(columns)
    if names:
        table = table.cast_column("label", datasets.ClassLabel(names=names))
    table.to_parquet(str(path))
    return path


def pictures(pixels: np.ndarray = PIXELS, mode: str = "RGB") -> list[Any]:
    return [Image.fromarray(image).convert(mode) for image in pixels]


def read(path: Path, **arguments: Any) -> Arrays:
    return Hub(str(path), **arguments).read(path.parent)


def test_pictures_become_channel_first_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "all.parquet", {"image": pictures(), "label": [0, 1, 2] * 4}, ["x", "y", "z"])
    arrays = read(path)
    np.testing.assert_array_equal(arrays.features, PIXELS.transpose(0, 3, 1, 2))
    assert arrays.labels.tolist() == [0, 1, 2] * 4
    assert arrays.facts.classes == ("x", "y", "z") and arrays.facts.num_test == 0


def test_a_federation_of_pictures(tmp_path: Path) -> None:
    write(tmp_path / "all.parquet", {"image": pictures(), "label": [0, 1] * 6}, ["x", "y"])
    chosen = config("hub", clients=2, data={"path": "all.parquet", "name": "tiny"}, data_dir=str(tmp_path))
    federation = load_federation(chosen)
    assert federation.name == "tiny" and federation.shape == (3, 5, 6) and federation.num_clients == 2
    records = federation.pooled_train
    features, labels = records.batch(torch.arange(len(records)))
    expected = PIXELS[records.index.numpy()].transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(features.numpy(), expected, atol=1e-5)
    assert labels.tolist() == [int(position) % 2 for position in records.index]


def test_grey_pictures_have_one_channel_and_mixed_ones_three(tmp_path: Path) -> None:
    grey = write(tmp_path / "grey.parquet", {"image": pictures(PIXELS, "L"), "label": [0, 1] * 6}, ["x", "y"])
    assert read(grey).features.shape == (12, 1, 5, 6)
    mixed = to_array([*pictures(PIXELS[:1], "L"), *pictures(PIXELS[1:2])], "image")
    assert mixed.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(mixed[1], PIXELS[1].transpose(2, 0, 1))


def test_a_folder_with_train_and_test_files_has_an_official_test_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.parquet", {"x": [[1.0, 2.0]] * 8, "label": [0, 1] * 4}, ["a", "b"])
    write(folder / "test.parquet", {"x": [[3.0, 4.0]] * 3, "label": [1, 1, 0]}, ["a", "b"])
    arrays = read(folder)
    assert arrays.facts.num_test == 3 and arrays.labels[-3:].tolist() == [1, 1, 0]
    assert arrays.features.dtype == np.float32 and arrays.features[-1].tolist() == [3.0, 4.0]
    assert read(folder, test=None).facts.num_test == 0
    assert len(Hub(str(folder)).files(tmp_path)) == 2


def test_columns_of_numbers_with_gaps_and_natural_groups(tmp_path: Path) -> None:
    rows: list[Any] = [[float(k), None if k % 3 == 0 else 1.0] for k in range(12)]
    columns = {"x": rows, "kind": ["no", "yes"] * 6, "site": ["b"] * 5 + ["a"] * 7}
    write(tmp_path / "all.parquet", columns)
    data = {"path": str(tmp_path / "all.parquet"), "label": "kind", "group": "site"}
    federation = load_federation(config("hub", "natural", data=data, split={"server_test": 0.0}))
    assert federation.client_names == ("a", "b") and federation.classes == ("no", "yes")
    assert int(federation.imputed["missing"].sum()) == 4
    train = federation.splits["client_train"][0]
    assert train.batch(torch.arange(len(train)))[0].mean().abs() < 1e-5


def test_natural_groups_need_a_column(tmp_path: Path) -> None:
    write(tmp_path / "all.parquet", {"x": [[1.0]] * 4, "label": [0, 1] * 2}, ["a", "b"])
    with pytest.raises(UserError, match=r"dataset=hub: dataset.group names no column; use"):
        load_federation(config("hub", "natural", data={"path": "all.parquet"}, data_dir=str(tmp_path)))


def test_integers_that_are_no_class_labels_are_classes_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "all.parquet", {"x": [[1.0]] * 4, "label": [7, 3, 7, 5]})
    arrays = read(path)
    assert arrays.facts.classes == ("3", "5", "7") and arrays.labels.tolist() == [2, 0, 2, 1]


def test_a_parquet_file_of_pandas_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, format="PNG")
    pd.DataFrame({"v": [[1.0, 2.0], [3.0, 4.0]], "y": ["cat", "dog"]}).to_parquet(path)
    arrays = read(path)
    assert arrays.facts.classes == ("cat", "dog") and arrays.features.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_unlabelled_records_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "all.parquet", {"x": [[1.0]] * 4, "label": [0, 1, -1, 1]}, ["a", "b"])
    with pytest.raises(UserError, match=r"dataset: the labels of hub must be 0 to 1, got -1 to 1; leave unlabelled"):
        load_federation(config("hub", data={"path": "all.parquet"}, data_dir=str(tmp_path)))


def test_infinite_features_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "all.parquet", {"x": [[1.0], [float("inf")]], "label": [0, 1]}, ["a", "b"])
    with pytest.raises(
        UserError, match=r"dataset: the features of hub must be finite or missing \(NaN\), got infinite"
    ):
        load_federation(config("hub", data={"path": "all.parquet"}, data_dir=str(tmp_path)))


def test_labels_with_gaps_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "all.parquet", {"x": [[1.0]] * 3, "label": ["a", None, "b"]})
    with pytest.raises(UserError, match=r"dataset.label must name a column without missing values, got label"):
        read(path)


FEATURES = {
    "id": datasets.Value("int64"),
    "image": datasets.Image(),
    "mask": datasets.Image(),
    "vector": datasets.List(datasets.Value("float32")),
    "grid": datasets.Array2D((2, 2), "float32"),
    "text": datasets.Value("string"),
    "label": datasets.Value("int64"),
    "fine": datasets.ClassLabel(names=["a"]),
    "score": datasets.Value("float32"),
}


def some(*names: str) -> dict[str, Any]:
    return {name: FEATURES[name] for name in names}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("image", "fine"), ("image", "fine")),
        (("id", "image", "vector", "label"), ("image", "label")),
        (("vector", "fine", "label", "text"), ("vector", "fine")),
        (("grid", "text", "score"), ("grid", "text")),
    ],
)
def test_columns_are_guessed_if_only_one_can_be_meant(names: tuple[str, ...], chosen: tuple[str, str]) -> None:
    assert choose_columns(some(*names), None, None, None) == chosen


def test_named_columns_are_left_out_of_the_guess() -> None:
    features = some("image", "mask", "text", "id")
    assert choose_columns(features, "mask", "text", "id") == ("mask", "text")
    assert choose_columns(some("image", "text", "id"), None, None, "id") == ("image", "text")


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (("image", "mask", "fine"), r"dataset.feature must name a column, got null, and several .*mask \(image\)"),
        (("text", "fine"), r"dataset.feature must name a column, got null, and no columns .*text \(text\)"),
        (("image", "id", "text"), r"dataset.label must name a column, got null, and several .*id \(integer\)"),
        (("image", "score"), r"dataset.label must name a column, got null, and no columns"),
    ],
)
def test_ambiguous_columns_are_listed(names: tuple[str, ...], match: str) -> None:
    with pytest.raises(UserError, match=match):
        choose_columns(some(*names), None, None, None)


@pytest.mark.parametrize("key", ["feature", "label", "group"])
def test_columns_that_do_not_exist_are_refused(key: str) -> None:
    named: dict[str, str | None] = {"feature": None, "label": None, "group": None, key: "colour"}
    with pytest.raises(
        UserError, match=rf"dataset.{key} must be a column of the data set, got colour; its columns are:"
    ):
        choose_columns(some("image", "fine"), **named)


def test_pictures_of_several_sizes_are_refused() -> None:
    values = [*pictures(PIXELS[:1]), *pictures(PIXELS[:1, :4])]
    with pytest.raises(UserError, match=r"pictures of one size, got image with 6×4, 6×5; resize them first"):
        to_array(values, "image")


@pytest.mark.parametrize("values", [["some text", "more"], [[1.0], [1.0, 2.0]]], ids=["text", "lengths"])
def test_features_that_are_no_numbers_of_one_length_are_refused(values: list[Any]) -> None:
    with pytest.raises(UserError, match=r"dataset.feature must name a column of pictures or of lists .*got x"):
        to_array(values, "x")


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "train.parquet", {"x": [[1.0]] * 2, "label": [0, 1]})
    with pytest.raises(UserError, match=r"dataset.train must be a split of .*set \(train\), got learn; set it"):
        read(folder, train="learn")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.path must be owner/name of the hub, or an existing folder"):
        Hub(str(tmp_path / "none.parquet")).files(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "all.parquet"
    path.write_text("no parquet")
    with pytest.raises(UserError, match=r"dataset.path must be a data set that can be read, got .*all.parquet"):
        read(path)


def test_without_a_connection_the_hub_asks_for_a_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise ConnectionError("cannot reach the hub")

    monkeypatch.setattr(datasets, "load_dataset", no_network)
    with pytest.raises(
        UserError, match=r"got owner/name \(ConnectionError: cannot reach the hub\); without a connection"
    ):
        Hub("owner/name").read(tmp_path)
