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

from fedlayers.core.errors import UserError
from fedlayers.data import load_federation
from fedlayers.data.formats.columns import Columns, choose_columns
from fedlayers.data.formats.hub import Hub
from fedlayers.data.formats.images import stack
from fedlayers.data.formats.pictures import pixels_of
from fedlayers.data.formats.place import ColumnPlace
from fedlayers.data.source import Arrays
from tests.support.data_configs import config

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


def stacked(values: list[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    return stack((pixels_of(picture, "an example") for picture in values), ColumnPlace("image"))


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
    examples = federation.pooled_train
    features, labels = examples.batch(torch.arange(len(examples)))
    expected = PIXELS[examples.index.numpy()].transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(features.numpy(), expected, atol=1e-5)
    assert labels.tolist() == [int(position) % 2 for position in examples.index]


def test_grey_pictures_have_one_channel_and_mixed_ones_three(tmp_path: Path) -> None:
    grey = write(tmp_path / "grey.parquet", {"image": pictures(PIXELS, "L"), "label": [0, 1] * 6}, ["x", "y"])
    assert read(grey).features.shape == (12, 1, 5, 6)
    mixed, notes = stacked([*pictures(PIXELS[:1], "L"), *pictures(PIXELS[1:2])])
    assert mixed.shape == (2, 3, 5, 6)
    np.testing.assert_array_equal(mixed[1], PIXELS[1].transpose(2, 0, 1))
    assert notes == ("pictures of column image (1 of mode L, 1 of mode RGB) are all taken as red, green and blue",)


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


def test_unlabelled_examples_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "all.parquet", {"x": [[1.0]] * 4, "label": [0, 1, -1, 1]}, ["a", "b"])
    with pytest.raises(
        UserError, match=r"class labels 0 to 1, got label: example 2 of column label .* has -1; leave unlabelled"
    ):
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
    columns = choose_columns(some(*names), None, None, None)
    assert (*columns.features, columns.label) == chosen


def test_named_columns_are_left_out_of_the_guess() -> None:
    features = some("image", "mask", "text", "id")
    assert choose_columns(features, "mask", "text", "id") == Columns(("mask",), "text", True)
    assert choose_columns(some("image", "text", "id"), None, None, "id") == Columns(("image",), "text", True)


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
    match = r"pictures of one size, got 6×4 in example 1 of column image and 6×5 before; resize them first"
    with pytest.raises(UserError, match=match):
        stacked(values)


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


def table(path: Path, **columns: Any) -> Path:
    pd.DataFrame(columns).to_parquet(path)
    return path


NUMBERS = np.random.default_rng(1).normal(size=(12, 2))


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv", "json", "jsonl", "csv.gz"])
def test_a_table_with_a_column_per_feature(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"id": range(12), "a.b": NUMBERS[:, 0], "c d=e": NUMBERS[:, 1], "label": [0, 1, 2] * 4})
    path = tmp_path / f"all.{kind}"
    match kind:
        case "parquet":
            frame.to_parquet(path)
        case "tsv":
            frame.to_csv(path, sep="\t", index=False)
        case "json" | "jsonl":
            frame.to_json(path, orient="records", lines=kind == "jsonl", double_precision=15)
        case _:
            frame.to_csv(path, index=False)
    arrays = read(path)
    np.testing.assert_allclose(arrays.features, NUMBERS, atol=1e-14)
    assert arrays.features.dtype == np.float64 and arrays.labels.tolist() == [0, 1, 2] * 4
    assert arrays.facts.columns == ("a.b", "c d=e")
    assert arrays.facts.notes == (
        "features are the columns a.b, c d=e",
        "id only numbers the examples and is no feature; dataset.feature=[...] takes it",
    )
    chosen = read(path, feature=["c d=e", "id"])
    np.testing.assert_allclose(chosen.features, np.stack([NUMBERS[:, 1], np.arange(12)], axis=1), atol=1e-14)
    assert chosen.facts.columns == ("c d=e", "id") and chosen.facts.notes == ()


def test_a_table_with_text_beside_numbers_must_be_told_its_features(tmp_path: Path) -> None:
    path = table(tmp_path / "all.parquet", a=[1.0, 2.0], text=["x", "y"], label=[0, 1])
    with pytest.raises(UserError, match=r"dataset.feature must name a column, or several as \[a,b\], got null, and no"):
        read(path)
    assert read(path, feature="a").features.tolist() == [[1.0], [2.0]]


def test_many_columns_are_told_in_short(tmp_path: Path) -> None:
    path = table(tmp_path / "all.parquet", **{f"f{k}": [0.5, 1.5] for k in range(20)}, label=[0, 1])
    assert read(path).facts.notes == ("features are the columns f0, f1, f2, f3, f4, f5, f6 … f19 (20)",)


def test_a_column_cannot_be_two_things(tmp_path: Path) -> None:
    path = table(tmp_path / "all.parquet", a=[1.0, 2.0], label=[0, 1])
    with pytest.raises(UserError, match=r"dataset.group must be different columns, got label twice"):
        read(path, group="label", label="label")


def png_bytes(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("struct", [True, False])
def test_encoded_pictures_without_the_librarys_types(tmp_path: Path, struct: bool) -> None:
    content = [png_bytes(image) for image in PIXELS]
    values = [{"bytes": one, "path": None} for one in content] if struct else content
    arrays = read(table(tmp_path / "all.parquet", image=values, label=[0, 1] * 6))
    np.testing.assert_array_equal(arrays.features, PIXELS.transpose(0, 3, 1, 2))
    assert arrays.facts.mean == (127.5,) * 3


def test_bytes_that_are_labels_are_not_taken_for_pictures(tmp_path: Path) -> None:
    path = table(tmp_path / "all.parquet", x=[[1.0], [2.0]], label=[b"a", b"b"])
    with pytest.raises(
        UserError, match=r"dataset.label must name .*example 0 of column label in split train holds bin"
    ):
        read(path)


def test_sixteen_bit_pictures_are_what_was_encoded(tmp_path: Path) -> None:
    words = np.random.default_rng(2).integers(0, 2**16, (12, 5, 6)).astype(np.uint16)
    path = write(tmp_path / "all.parquet", {"image": [Image.fromarray(one) for one in words], "label": [0, 1] * 6})
    arrays = read(path)
    np.testing.assert_array_equal(arrays.features[:, 0], words)
    federation = load_federation(config("hub", clients=2, data={"path": str(path)}))
    assert any("integers of more than 8 bits: their values are kept" in note for note in federation.notes)
    batch, _ = federation.pooled_train.batch(torch.arange(len(federation.pooled_train)))
    expected = (words - words.mean()) / words.std()
    np.testing.assert_allclose(batch[:, 0].numpy(), expected[federation.pooled_train.index.numpy()], atol=1e-4)


@pytest.mark.parametrize(("picture", "match"), [(None, "got none"), (b"no picture", "one that cannot be read")])
def test_a_missing_or_damaged_picture_is_named(tmp_path: Path, picture: bytes | None, match: str) -> None:
    content = [picture if number == 5 else png_bytes(image) for number, image in enumerate(PIXELS)]
    path = table(tmp_path / "all.parquet", image=content, label=[0, 1] * 6)
    with pytest.raises(UserError, match=rf"{match}.* example 5 of column image in split train"):
        read(path)


def splits(folder: Path, **parts: dict[str, Any]) -> Path:
    folder.mkdir()
    for name, columns in parts.items():
        pd.DataFrame(columns).to_parquet(folder / f"{name}.parquet")
    return folder


PART: dict[str, Any] = {"x": [[1.0, 2.0]] * 8, "label": [0, 1] * 4}


def test_splits_that_are_not_used_are_said(tmp_path: Path) -> None:
    three = splits(tmp_path / "three", train=PART, validation=PART, test=PART)
    assert read(three).facts.notes == ("split validation (8 examples) is not used",)
    two = splits(tmp_path / "two", train=PART, validation=PART)
    note = "split validation (8 examples) is not used; dataset.test=validation makes it the server's test set"
    assert read(two).facts.notes == (note,) and read(two).facts.num_test == 0
    assert read(two, test="validation").facts.num_test == 8


@pytest.mark.parametrize("label", [[-1] * 8, [None] * 8, None], ids=["-1", "missing", "no column"])
def test_an_unlabelled_official_test_set_is_not_used(tmp_path: Path, label: list[Any] | None) -> None:
    test = {**PART, "label": pd.array(label, "Int64")} if label else {"x": PART["x"]}
    arrays = read(splits(tmp_path / "set", train=PART, test=test))
    assert arrays.facts.num_test == 0 and len(arrays.labels) == 8
    assert arrays.facts.notes == (
        "split test has no labels and is not used; the server tests on some of the training examples",
    )


def test_another_test_split_must_exist_and_differ(tmp_path: Path) -> None:
    folder = splits(tmp_path / "set", train=PART, test=PART)
    for name in ("tset", "train"):
        with pytest.raises(UserError, match=rf"dataset.test must be null or another split of .*, got {name}; set it"):
            read(folder, test=name)


def test_a_test_split_without_the_features_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    train, test = datasets.Dataset.from_dict(PART), datasets.Dataset.from_dict({"label": [0, 1]})
    datasets.DatasetDict(train=train, test=test).save_to_disk(str(folder))
    with pytest.raises(UserError, match=r"a split with the columns of train, got test without x; set it to null"):
        read(folder)


def test_what_was_saved_to_disk_is_read_and_labels_matched_by_name(tmp_path: Path) -> None:
    def part(names: list[str]) -> datasets.Dataset:
        return datasets.Dataset.from_dict(PART).cast_column("label", datasets.ClassLabel(names=names))

    datasets.DatasetDict(train=part(["a", "b"]), test=part(["b", "a"])).save_to_disk(str(tmp_path / "several"))
    arrays = read(tmp_path / "several")
    assert arrays.labels.tolist() == [0, 1] * 4 + [1, 0] * 4 and arrays.facts.classes == ("a", "b")
    part(["a", "b"]).save_to_disk(str(tmp_path / "one"))
    assert read(tmp_path / "one").labels.tolist() == [0, 1] * 4


def test_a_class_that_only_the_test_set_has_is_said(tmp_path: Path) -> None:
    arrays = read(splits(tmp_path / "set", train=PART, test={**PART, "label": [2, 1] * 4}))
    assert arrays.facts.notes == ("values of column label that only test examples have: 2",)


def test_pictures_in_folders(tmp_path: Path) -> None:
    for number, image in enumerate(PIXELS):
        folder = tmp_path / "set" / ("train" if number < 8 else "test") / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.png").write_bytes(png_bytes(image))
    arrays = read(tmp_path / "set")
    assert arrays.facts.classes == ("class 0", "class 1") and arrays.facts.num_test == 4
    order = [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 9, 11]
    np.testing.assert_array_equal(arrays.features, PIXELS[order].transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.parquet", b"", r"examples in every file, got none in .*a.parquet; delete it"),
        ("a.csv", b"", r"examples in every file, got none in .*a.csv"),
        ("a.csv", b"x,label\n", r"examples in every file, got none in .*a.csv"),
        (
            "a.csv",
            b"x,label\n1,2\n1,2,3,4\n",
            r"that can be read, got .*a.csv \(ParserError: .*line 3.*check its files",
        ),
        ("a.jsonl", b'{"x": 1}\n{"x"', r"that can be read, got .*a.jsonl \(ArrowInvalid"),
        ("a.txt", b"x", r"a folder or a file of .parquet, .csv, .tsv, .json, .jsonl, .arrow, got .*a.txt; convert it"),
    ],
)
def test_files_without_examples_or_of_other_formats(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"dataset.path must be .*" + match):
        read(tmp_path / name)


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    folder = splits(tmp_path / "set", train=PART)
    datasets.Dataset.from_dict(PART).select([]).to_parquet(str(folder / "test.parquet"))
    with pytest.raises(UserError, match=r"examples in every file, got none in .*test.parquet; delete it"):
        read(folder)


def test_a_relative_path_is_prepared_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "all.parquet", {"x": [[1.0, 2.0]] * 12, "label": [0, 1] * 6})
    monkeypatch.chdir(tmp_path)
    for path in ("all.parquet", str(tmp_path / "all.parquet"), "../" + tmp_path.name + "/all.parquet"):
        load_federation(config("hub", clients=2, data={"path": path}))
    assert len(list((tmp_path / "cache" / "prepared").glob("hub-*"))) == 1


def test_settings_of_the_hub_beside_local_files_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "all.parquet", x=[[1.0], [2.0]], label=[0, 1])
    with pytest.raises(UserError, match=r"dataset.revision must be null with local files, got 'v1'"):
        read(path, revision="v1")
    with pytest.raises(UserError, match=r"dataset.subset must be null with one local file or data set, got 'en'"):
        read(path, subset="en")


@pytest.mark.parametrize("name", ["", "x" * 5000])
def test_names_that_are_no_path_are_looked_for_on_the_hub(tmp_path: Path, name: str) -> None:
    assert Hub(name).files(tmp_path) == ()


ROWS = [f"{30 + k},{k}.5,{'ny'[k % 2]}" for k in range(6)]


def text_file(path: Path, rows: list[str], header: str = "age,height,sick") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_word_among_numbers_is_named_with_its_example(tmp_path: Path) -> None:
    path = text_file(tmp_path / "dirty.csv", [row.replace("33,", "unknown,") for row in ROWS])
    match = r"got age: example 3 of column age in split train holds 'unknown', which is no number; write numbers"
    with pytest.raises(UserError, match=match):
        read(path, feature=["age", "height"], label="sick")


def test_classes_and_groups_that_hardly_differ_are_told_and_kept(tmp_path: Path) -> None:
    rows = [f"{row}{' ' * (k == 3)},{'aA'[k == 0]}" for k, row in enumerate(ROWS)]
    arrays = read(text_file(tmp_path / "all.csv", rows, "age,height,sick,site"), label="sick", group="site")
    assert arrays.facts.classes == ("n", "y", "y ") and arrays.facts.group_names == ("A", "a")
    told = [note for note in arrays.facts.notes if "count as different" in note]
    assert "column sick" in told[0] and "'y' and 'y ';" in told[0] and "column site" in told[1] and len(told) == 2


@pytest.mark.parametrize(
    ("name", "sign", "match"),
    [
        ("all.csv", ";", r"a .csv file with commas .*all.csv with ';' between them; save it with commas, and write"),
        ("all.csv", "|", r"a .csv file with commas .*with '\|' between them; save it with commas, and write"),
        ("all.csv", "\t", r"a .csv file with commas .*with tabs between them; save it with commas or name it .tsv"),
        ("all.tsv", ",", r"a .tsv file with tabs .*with commas between them; save it with tabs or name it .csv"),
    ],
)
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("whole_folder", [False, True])
def test_another_separator_is_named(
    tmp_path: Path, name: str, sign: str, match: str, decimal: str, whole_folder: bool
) -> None:
    rows = [row.replace(",", sign).replace(".", decimal if sign != "," else ".") for row in ROWS]
    path = text_file(tmp_path / name, rows, "age,height,sick".replace(",", sign))
    with pytest.raises(UserError, match=r"dataset.path must be " + match):
        read(tmp_path if whole_folder else path, label="sick", feature=["age", "height"])


def test_another_separator_is_named_where_examples_differ_in_decimal_commas(tmp_path: Path) -> None:
    rows = [row.replace(",", ";").replace(".", ",") for row in ROWS]
    path = text_file(tmp_path / "all.csv", ["1;2;n", *rows, "1,5;1,5;y"], "age;height;sick")
    with pytest.raises(UserError, match=r"all.csv with ';' between them"):
        read(path)


def test_a_column_without_a_name_is_no_feature(tmp_path: Path) -> None:
    path = text_file(tmp_path / "all.csv", [f"p{k},{row}" for k, row in enumerate(ROWS)])
    arrays = read(path, label="sick")
    assert arrays.facts.columns == ("age", "height") and arrays.features[0].tolist() == [30, 0.5]
    assert "a column without a name in the file is no feature" in arrays.facts.notes[-1]
    listed = r"got __index_level_0__; its columns are: age \(integer\), height \(number\), sick \(text\)$"
    with pytest.raises(UserError, match=listed):
        read(path, label="sick", feature=["age", "__index_level_0__"])
