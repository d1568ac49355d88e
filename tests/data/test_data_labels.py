"""Columns of classes: plain values become codes, what is none is refused by column and example."""

from decimal import Decimal
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest

from fedlayers.core.errors import UserError
from fedlayers.data.formats.labels import Codes, alike, codes_of, is_unlabelled
from fedlayers.data.formats.place import ColumnPlace


def codes(*parts: Any, kinds: Any = None, key: str = "dataset.label") -> Codes:
    arrays = [part if isinstance(part, pa.Array) else pa.array(part) for part in parts]
    place = ColumnPlace("y", [(name, len(array)) for name, array in zip(("train", "test"), arrays, strict=False)])
    return codes_of([pa.chunked_array([array]) for array in arrays], kinds or [None] * len(parts), key, place)


@pytest.mark.parametrize(
    ("values", "names", "expected"),
    [
        ([7, 3, 7, 5], ("3", "5", "7"), [2, 0, 2, 1]),
        ([-1, 1, 1], ("-1", "1"), [0, 1, 1]),
        ([1.0, 0.0, 1.0], ("0.0", "1.0"), [1, 0, 1]),
        ([0.5, 1.5, 0.5], ("0.5", "1.5"), [0, 1, 0]),
        ([True, False], ("False", "True"), [1, 0]),
        (["b", "c", "a"], ("a", "b", "c"), [1, 2, 0]),
        ([Decimal(2), Decimal(1)], ("1", "2"), [1, 0]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ("x", "y"), [0, 1, 0]),
        (pa.array(["x", "y"], pa.large_string()), ("x", "y"), [0, 1]),
        (pa.array([2, 1], pa.uint8()), ("1", "2"), [1, 0]),
    ],
)
def test_plain_values_are_classes_in_order(values: Any, names: tuple[str, ...], expected: list[int]) -> None:
    found = codes(values)
    assert found.names == names and found.codes.tolist() == expected and found.codes.dtype == np.int64


def test_class_labels_are_matched_by_name_across_splits() -> None:
    kinds = [datasets.ClassLabel(names=["a", "b", "c"]), datasets.ClassLabel(names=["c", "a", "d"])]
    found = codes([0, 1, 2], [0, 1, 2], kinds=kinds)
    assert found.names == ("a", "b", "c", "d") and found.codes.tolist() == [0, 1, 2, 2, 0, 3]
    assert found.said("y", 3) == ("values of column y that only test examples have: d",)
    assert found.said("y", 0) == ()


@pytest.mark.parametrize(
    ("parts", "match"),
    [
        (([1, None, 2],), r"without missing values, got y: example 1 of column y in split train has none; leave these"),
        (([1, 2], [None, None, 1]), r"got y: example 0 of column y in split test and 1 others have none"),
        ((["a", "", "b"],), r"example 1 of column y in split train has none"),
        ((["a", "b", " "],), r"example 2 of column y in split train has none"),
        (([1.0, float("nan")],), r"example 1 of column y in split train has none"),
        (([[1], [2]],), r"one plain value an example .*example 0 of column y in split train holds list<item: int64>"),
        (([{"a": 1}],), r"holds struct<a: int64>; write the class into a column of its own"),
        (([b"a", b"b"],), r"holds binary"),
        (([0, 0, 0],), r"with two or more classes, got y with only 0"),
        (((np.arange(300) / 7).tolist(),), r"column of classes, got y with 300 different values in 300 examples \(0.0"),
        (((np.arange(300) * 1.0).tolist() * 9,), r"got y with 300 different values in 2700 examples"),
        (((np.arange(30) / 7).tolist() * 90,), r"got y with 30 different values in 2700 examples"),
        ((list(range(60)),), r"got y with 60 different values in 60 examples \(0, 1, 2 …\); name another column"),
        (([f"id{k}" for k in range(60)],), r"got y with 60 different values in 60 examples \(id0, id1, id10 …\)"),
        (([0.0, 1.0, float("inf")],), r"a column of classes, got y with 3 different values"),
        (([0, 1, 0], [0, -1]), r"a label for every test example or for none, got y: example 1 of column y in split"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused(parts: tuple[list[Any], ...], match: str) -> None:
    with pytest.raises(UserError, match=r"dataset.label must name .*" + match):
        codes(*parts)


@pytest.mark.parametrize("value", [-1, 3])
def test_class_labels_without_a_name_are_refused(value: int) -> None:
    kinds = [datasets.ClassLabel(names=["a", "b", "c"])] * 2
    match = (
        rf"dataset.label must name .* 0 to 2, got y: example 1 of column y in split test has {value}; leave unlabelled"
    )
    with pytest.raises(UserError, match=match):
        codes([0, 1, 2], [0, value], kinds=kinds)


def test_groups_may_be_as_many_as_examples() -> None:
    assert len(codes([f"writer {k}" for k in range(60)], key="dataset.group").names) == 60
    with pytest.raises(UserError, match=r"dataset.group must name a column without missing values"):
        codes([1, None], key="dataset.group")


@pytest.mark.parametrize(
    ("test", "train", "expected"),
    [
        ([-1, -1], [0, 1], True),
        ([-1.0, -1.0], [0.0, 1.0], True),
        ([None, None], [0, 1], True),
        ([], [0, 1], True),
        ([-1, 0], [0, 1], False),
        ([-1, -1], [-1, 1], False),
        (["-1"], ["a"], False),
    ],
)
def test_an_official_test_set_may_be_unlabelled(test: list[Any], train: list[Any], expected: bool) -> None:
    assert is_unlabelled(pa.chunked_array([pa.array(test)]), pa.chunked_array([pa.array(train)])) is expected


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("no", "yes", "yes "), "'yes' and 'yes ';"),
        (("NO", "YES", "no", "yes"), "'NO' and 'no', 'YES' and 'yes';"),
        (tuple("ABCDabcd"), "'A' and 'a', 'B' and 'b', 'C' and 'c' …;"),
        (("a b", "ab", "1", "1.0"), None),
    ],
)
def test_names_that_hardly_differ_are_told(names: tuple[str, ...], said: str | None) -> None:
    told = alike("y", names)
    assert len(told) == (said is not None) and all("column y that differ only by spaces" in note for note in told)
    assert said is None or said in told[0]
