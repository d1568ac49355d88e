"""Numbers of every type: no digit is lost before columns are standardised."""

import datetime
import decimal
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from fedlayers.core.errors import UserError
from fedlayers.data import Federation, load_federation
from fedlayers.data.formats.exact import floats
from fedlayers.data.formats.numbers import rows_of, table_of
from fedlayers.data.formats.place import ColumnPlace
from fedlayers.data.tabular import fill
from tests.support.data_configs import config

WHERE = ColumnPlace("x", [("train", 2), ("test", 9)])
TYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
]


@pytest.mark.parametrize("is_big", [False, True])
@pytest.mark.parametrize("name", TYPES)
def test_every_type_and_byte_order_keeps_its_values(name: str, is_big: bool) -> None:
    dtype = np.dtype(name).newbyteorder(">" if is_big else "<")
    values = (np.arange(12).reshape(4, 3) * 7 % 100).astype(dtype)
    result = floats(values)
    assert result.values.dtype == np.float32 and not result.taken_off
    assert result.values.dtype.isnative
    assert result.values.tolist() == values.astype(float).tolist()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([[2**20 - 1], [0]]), np.float32),
        (np.array([[2**20], [0]]), np.float64),
        (np.array([[0.5], [1.25]]), np.float32),
        (np.array([[0.1], [np.nan]]), np.float64),
        (np.array([[1e300], [1e-300]]), np.float64),
        (np.array([[0.1], [16777217.0]], np.float32), np.float32),
    ],
)
def test_float32_is_taken_only_if_it_is_exact(values: np.ndarray, dtype: type) -> None:
    result = floats(values).values
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, values.astype(np.float64))


@pytest.mark.parametrize(
    "values",
    [
        np.array([2**62, 2**62 + 1, 2**62 + 5]),
        np.array([-(2**63), -(2**63) + 1, 2**63 - 1]),
        np.array([2**64 - 1, 2**64 - 3, 2**64 - 2], np.uint64),
    ],
)
def test_the_smallest_of_huge_integers_is_taken_off_exactly(values: np.ndarray) -> None:
    result = floats(np.stack([values, np.array([5, 6, 7], values.dtype)], axis=1))
    exact = [int(value) for value in values]
    assert result.values[:, 0].tolist() == [float(value - min(exact)) for value in exact]
    assert result.values[:, 1].tolist() == [5, 6, 7]
    assert result.taken_off == {0: min(exact)}
    said = f"{min(exact)} was subtracted from all values of column 0, which floats do not tell apart otherwise"
    assert result.said(lambda j: f"column {j}") == (said,)


def column(values: Any, kind: Any = None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, kind)])


T0 = datetime.datetime(2024, 1, 1)
TIMES = [T0 + datetime.timedelta(microseconds=k) for k in (0, 3, 1)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (column([True, False, None]), [[1], [0], [np.nan]]),
        (column([1, None, 3]), [[1], [np.nan], [3]]),
        (column([2**60, None, 2**60 + 1]), [[0], [np.nan], [1]]),
        (column([0.5, None, np.nan]), [[0.5], [np.nan], [np.nan]]),
        (column([np.float16(0.5), None], pa.float16()), [[0.5], [np.nan]]),
        (column([None, None], pa.null()), [[np.nan], [np.nan]]),
        (column([[1, 2], [3, None]]), [[1, 2], [3, np.nan]]),
        (column([[[1], [2]], [[3], [4]]]), [[1, 2], [3, 4]]),
        (column([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)), [[1, 2], [3, 4]]),
        (column([[1, 2], [3, 4]], pa.large_list(pa.int8())), [[1, 2], [3, 4]]),
        (pa.chunked_array([pa.array([1.5, 2.5, 1.5]).dictionary_encode()]), [[1.5], [2.5], [1.5]]),
        (pa.chunked_array([pa.array([[1], [2]]), pa.array([[3]])]), [[1], [2], [3]]),
        (pa.chunked_array([pa.array([[9], [1], [2]]).slice(1)]), [[1], [2]]),
        (column([Decimal("0.25"), None, Decimal("-3.5")]), [[0.25], [np.nan], [-3.5]]),
        (column([Decimal("12345678901234567890.25"), Decimal("12345678901234567891.00")]), [[0.25], [1]]),
        (column(TIMES), [[0], [3], [1]]),
        (column(TIMES, pa.timestamp("ns")), [[0], [3000], [1000]]),
        (column([datetime.date(1970, 1, 3), None]), [[2], [np.nan]]),
        (column([datetime.time(0, 0, 5)], pa.time32("s")), [[5]]),
        (column([datetime.timedelta(seconds=2)], pa.duration("s")), [[2]]),
    ],
)
def test_columns_of_arrow_keep_their_values(values: pa.ChunkedArray, expected: list[list[float]]) -> None:
    np.testing.assert_array_equal(rows_of(values, WHERE).values, expected)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (
            column([[1.0], [2.0], [1.0, 2.0]]),
            r"example 0 of column x in split test has a list of 2 where another has",
        ),
        (column([[[1], [2]], [[3]]]), r"example 1 of column x in split train has a list of 1 where another has 2"),
        (column([[[1, 2], [2, 3]], [[3, 4], [4]]]), r"example 1 of column x in split train has a list of 1"),
        (column([[1], None]), r"example 1 of column x in split train has no list"),
        (column([[[1], None]]), r"example 0 of column x in split train has no list"),
        (column([[], []], pa.list_(pa.int8())), r"example 0 of column x in split train has an empty list"),
        (column([["a"]]), r"example 0 of column x in split train holds 'a', which is no number; write numbers"),
        (
            column(["1", "2.5", None, "?", "1,5"]),
            r"example 1 of column x in split test holds '\?', .*\(and 1 more values",
        ),
        (
            column([["1", "2"], ["1", "1_0"]]),
            r"example 1 of column x in split train holds '1_0', which is no number",
        ),
        (column(["1", "x" * 99]), r"example 1 of column x in split train holds 'x{40}…', which is no number; .*leave"),
        (column(["1", "-2e3"]), r"example 0 of column x in split train holds text, although every value is a number"),
        (column([{"a": 1}]), r"example 0 of column x in split train holds struct<a: int64>"),
    ],
)
def test_other_columns_are_refused_by_example(values: pa.ChunkedArray, match: str) -> None:
    with pytest.raises(
        UserError, match=r"dataset.feature must name a column of pictures, of numbers .*got x: " + match
    ):
        rows_of(values, WHERE)


def test_a_table_is_its_columns_side_by_side() -> None:
    table = table_of([column([1, 2]), column([2**62 + 1, 2**62])], [ColumnPlace("a"), ColumnPlace("b")])
    assert table.values.tolist() == [[1, 1], [2, 0]] and table.taken_off == {1: 2**62}
    with pytest.raises(UserError, match=r"several columns of single numbers, got lists in b among several; name it"):
        table_of([column([1, 2]), column([[1, 2], [3, 4]])], [ColumnPlace("a"), ColumnPlace("b")])


def standardised(values: list[Fraction]) -> list[float]:
    """(x − mean) / std in exact arithmetic but for the root."""
    mean = sum(values, Fraction(0)) / len(values)
    variance = sum(((value - mean) * (value - mean) for value in values), Fraction(0)) / len(values)
    with decimal.localcontext(prec=60):
        std = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
        return [float(Decimal((v - mean).numerator) / Decimal((v - mean).denominator) / std) for v in values]


def of_arrays(features: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Federation:
    """A federation of one client that trains on all of a user's own examples, in their order."""
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tests.data.test_data_numbers.Own.features", features)
    shares = {"train": 1.0, "val": 0.0, "test": 0.0, "server_test": 0.0}
    own = {"_target_": "tests.data.test_data_numbers.Own", "name": "own"}
    return load_federation(replace(config("digits", clients=1, split=shares), dataset=own))


class Own:
    """A user's data set of the rows that a test sets."""

    features: np.ndarray = np.empty((0, 0))

    def files(self, root: Path) -> tuple[Path, ...]:
        return ()

    def read(self, root: Path) -> Any:
        from fedlayers.data.source import Arrays, DatasetFacts

        return Arrays(self.features, np.arange(len(self.features)) % 2, DatasetFacts(("a", "b")))


NOISE = np.random.default_rng(0).integers(-50, 50, 40)
COLUMNS: dict[str, Callable[[], np.ndarray]] = {
    "float64 a billion": lambda: 1e9 + NOISE / 7,
    "float64 seconds since 1970": lambda: 1.7e9 + NOISE * 0.1,
    "float32 sixteen million": lambda: (16_000_000 + NOISE).astype(np.float32),
    "float32 years": lambda: (2000 + NOISE % 5).astype(np.float32),
    "int64 identifiers": lambda: 2**62 + NOISE,
    "int64 nanoseconds": lambda: 1_700_000_000_000_000_000 + NOISE,
    "int64 microseconds": lambda: 1_700_000_000_000_000 + NOISE,
    "int32 big-endian": lambda: (2_000_000_000 + NOISE).astype(">i4"),
    "uint64": lambda: np.uint64(2**64 - 100) + NOISE.astype(np.uint64),
    "int16": lambda: (32_000 + NOISE).astype(np.int16),
    "float16": lambda: (NOISE / 8).astype(np.float16),
    "tiny": lambda: NOISE * 1e-200,
    "huge": lambda: NOISE * 1e200,
}


@pytest.mark.parametrize("name", COLUMNS)
def test_large_numbers_are_standardised_with_all_their_digits(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = COLUMNS[name]()
    federation = of_arrays(np.stack([values, values[::-1]], axis=1), monkeypatch, tmp_path)
    for examples in (federation.splits["client_train"][0], federation.pooled_train):
        batch, _ = examples.batch(torch.arange(len(examples)))
        assert batch.dtype == torch.float32
        exact = np.array(standardised([Fraction(value.item()) for value in values]))
        order = examples.index.numpy()
        np.testing.assert_allclose(batch[:, 0].numpy(), exact[order], rtol=3e-6, atol=3e-6)
        np.testing.assert_allclose(batch[:, 1].numpy(), exact[::-1][order], rtol=3e-6, atol=3e-6)


def test_clients_far_from_one_another_keep_their_own_digits() -> None:
    own = np.concatenate([1.6e9 + NOISE * 0.01, 1.7e9 + NOISE * 0.01])[:, None]
    splits = {"client_train": [np.arange(40), np.arange(40, 80)], "client_val": [np.arange(0)] * 2}
    filled = fill(own, splits, np.arange(0), (), ())
    exact = standardised([Fraction(int(value), 100) for value in NOISE])
    for client in (0, 1):
        got = own[splits["client_train"][client], 0] * filled.scale[client, 0] + filled.shift[client, 0]
        np.testing.assert_allclose(got, exact, atol=1e-4)  # 0.01 in a number of ten digits
        assert filled.wide[client]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_column_becomes_zero_and_ordinary_ones_stay_in_float32(dtype: type) -> None:
    rows: np.ndarray = np.stack([np.full(40, 1e9 + 0.1), NOISE], axis=1).astype(dtype)
    splits = {"client_train": [np.arange(40)], "client_val": [np.arange(0)]}
    filled = fill(rows, splits, np.arange(0), (), ())
    assert abs(rows[0, 0] * filled.scale[0, 0] + filled.shift[0, 0]) < 1e-6
    assert filled.scale[0, 0] == 1
    assert bool(filled.wide[0]) == (dtype == np.float64)
