"""Rows: gaps are filled in and columns standardised from training examples only."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from fedlayers.core.errors import UserError
from fedlayers.data import Federation, load_federation
from fedlayers.data.tabular import Filled, fill
from tests.support.data_configs import config, needs_real_data, write_heart

NAN = float("nan")
COLUMNS = ("size", "kind", "rare")
FEATURES = np.array(
    [  # client 0: rows 0-4, client 1: rows 5-8, server: 9
        [1.0, 2.0, NAN],
        [3.0, 2.0, NAN],
        [8.0, 1.0, NAN],
        [NAN, NAN, 4.0],  # validation
        [9.0, 1.0, NAN],  # test
        [10.0, 5.0, 6.0],
        [NAN, 5.0, 8.0],
        [30.0, NAN, 10.0],  # validation
        [40.0, 7.0, 1.0],  # test
        [NAN, NAN, NAN],
    ],
    dtype=np.float32,
)


def parts(*groups: list[int]) -> list[np.ndarray]:
    return [np.array(group) for group in groups]


SPLITS = {"client_train": parts([0, 1, 2], [5, 6]), "client_val": parts([3], [7]), "client_test": parts([4], [8])}


def filled(features: np.ndarray = FEATURES) -> Filled:
    return fill(features, SPLITS, np.array([9]), COLUMNS, ("kind",))


def test_gaps_take_the_median_or_most_frequent_value_of_the_clients_training_examples() -> None:
    own = filled().own
    assert own[3].tolist() == [3.0, 2.0, 4.0], "median of 1, 3, 8; most frequent of 2, 2, 1; its own value"
    assert own[6].tolist() == [10.0, 5.0, 8.0]
    assert own[7].tolist() == [30.0, 5.0, 10.0]


def test_a_column_a_client_has_no_value_for_takes_the_pooled_one() -> None:
    result = filled()
    assert result.own[:3, 2].tolist() == [7.0, 7.0, 7.0], "median of 6 and 8, all that training examples have"
    table = pd.DataFrame(result.imputed)
    assert set(table.query("client == 0 and feature == 'rare'")["source"]) == {"pooled"}
    assert set(table.query("client == 0 and feature == 'size'")["source"]) == {"client"}


def test_the_server_and_the_pooled_examples_use_pooled_values() -> None:
    pooled = filled().pooled
    assert pooled[9].tolist() == [5.5, 2.0, 7.0], "of equally frequent values the smaller"
    assert pooled[6].tolist() == [5.5, 5.0, 8.0]


def test_the_table_says_what_was_filled_in() -> None:
    table = pd.DataFrame(filled().imputed)
    rows = {tuple(row[:3]): tuple(row[3:]) for row in table.itertuples(index=False)}
    assert rows[0, "rare", "client_train"] == (3, 7.0, "pooled")
    assert rows[0, "rare", "client_test"] == (1, 7.0, "pooled")
    assert rows[1, "kind", "client_val"] == (1, 5.0, "client")
    assert (table["missing"] > 0).all()
    of_clients = table[table["client"].notna()]
    assert of_clients["missing"].sum() == np.isnan(FEATURES[:9]).sum()
    assert table[table["client"].isna()]["feature"].tolist() == list(COLUMNS)


@pytest.mark.parametrize("row", [3, 4, 7, 8, 9])
def test_values_outside_training_examples_change_nothing_elsewhere(row: int) -> None:
    changed = FEATURES.copy()
    changed[row] = [1e4, 99.0, -1e4]
    before, after = filled(), filled(changed)
    others = np.arange(10) != row
    np.testing.assert_array_equal(before.own[others], after.own[others])
    np.testing.assert_array_equal(before.pooled[others], after.pooled[others])
    np.testing.assert_array_equal(before.scale, after.scale)
    np.testing.assert_array_equal(before.shift, after.shift)


def test_one_clients_training_values_do_not_reach_the_other() -> None:
    changed = FEATURES.copy()
    changed[[5, 6], :2] = [[77.0, 3.0], [78.0, 3.0]]
    before, after = filled(), filled(changed)
    np.testing.assert_array_equal(before.own[:5, :2], after.own[:5, :2])
    np.testing.assert_array_equal(before.scale[0, :2], after.scale[0, :2])


def test_columns_are_standardised_by_training_examples() -> None:
    result = filled()
    for client, train in enumerate(SPLITS["client_train"]):
        values = result.own[train] * result.scale[client] + result.shift[client]
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-5)
        spread = result.own[train].std(axis=0) > 0
        np.testing.assert_allclose(values.std(axis=0)[spread], 1, atol=1e-5)
        np.testing.assert_allclose(values[:, ~spread], 0, atol=1e-5)
    pooled = result.pooled[[0, 1, 2, 5, 6]] * result.scale[2] + result.shift[2]
    np.testing.assert_allclose(pooled.std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_in_ordinary_ranges_are_those_of_scikit_learn(dtype: type) -> None:
    generator = np.random.default_rng(0)
    features: np.ndarray = (generator.standard_normal((40, 3)) * [1, 1e-3, 1e3] + [5, 0, -300]).astype(dtype)
    features[:, 2] = generator.integers(4, size=40)
    features[generator.random((40, 3)) < 0.2] = NAN
    splits = {"client_train": [np.arange(30)], "client_test": [np.arange(30, 40)]}
    result = fill(features, splits, np.array([], int), COLUMNS, ("rare",))
    for columns, strategy in (([0, 1], "median"), ([2], "most_frequent")):
        imputer = SimpleImputer(strategy=strategy).fit(features[:30, columns])
        np.testing.assert_array_equal(result.own[:, columns], imputer.transform(features[:, columns]))
    scaler = StandardScaler().fit(result.own[:30])
    np.testing.assert_allclose(result.scale[0], 1 / scaler.scale_, rtol=1e-14)
    np.testing.assert_allclose(result.shift[0], -scaler.mean_ / scaler.scale_, rtol=1e-12)


def test_columns_of_huge_tiny_and_nearly_equal_numbers_are_standardised() -> None:
    splits = {"client_train": [np.arange(3)]}
    rows = np.array([[1e200, 1e-200], [2e200, 2e-200], [3e200, 3e-200]])
    found = fill(rows, splits, np.array([], int), (), ())
    standard = np.sqrt(1.5) * np.array([-1, 0, 1])
    np.testing.assert_allclose(rows * found.scale[0] + found.shift[0], np.stack([standard] * 2, 1), atol=1e-12)
    rounding = np.nextafter(np.full((3, 1), 1000, np.float32), np.array([[0], [2000], [0]], np.float32))
    found = fill(rounding, splits, np.array([], int), (), ())
    assert np.abs(rounding * found.scale[0] + found.shift[0]).max() < 1e-3


def test_rows_without_gaps_are_used_as_they_are() -> None:
    whole = np.nan_to_num(FEATURES)
    result = filled(whole)
    assert result.own is whole and result.pooled is whole and result.imputed == []


def test_the_given_rows_stay_as_they_are() -> None:
    features = FEATURES.copy()
    filled(features)
    np.testing.assert_array_equal(features, FEATURES)


def test_a_column_without_any_training_value_is_refused() -> None:
    features = FEATURES.copy()
    features[[5, 6], 2] = NAN
    with pytest.raises(UserError, match="dataset: column rare must have a value in some training example, got none"):
        filled(features)


def heart(root: Path) -> Federation:
    return load_federation(config("Heart", "natural", data_dir=str(root)))


def test_test_examples_do_not_change_what_a_federation_trains_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    write_heart(tmp_path / "before")
    before = heart(tmp_path / "before")
    tested = int(before.splits["client_test"][0].index[0])
    assert tested < 20, "a patient of the first hospital"

    write_heart(tmp_path / "after")
    path = tmp_path / "after" / "heart" / "processed.cleveland.data"
    lines = path.read_text().splitlines()
    lines[tested] = ",".join(["5000"] * 13 + lines[tested].split(",")[13:])
    path.write_text("\n".join(lines) + "\n")
    after = heart(tmp_path / "after")

    for scope in ("client_train", "client_val"):
        for left, right in zip(before.splits[scope], after.splits[scope], strict=True):
            everything = torch.arange(len(left))
            assert torch.equal(left.batch(everything)[0], right.batch(everything)[0])
    assert torch.equal(*(f.server_test.batch(torch.arange(len(f.server_test)))[0] for f in (before, after)))
    changed = before.splits["client_test"][0].batch(torch.tensor([0]))[0]
    assert not torch.equal(changed, after.splits["client_test"][0].batch(torch.tensor([0]))[0])


@needs_real_data
def test_real_hospitals_are_standardised_by_their_own_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDLAYERS_CACHE", str(tmp_path / "cache"))
    federation = load_federation(config("Heart", "natural", data={"features": 13}))
    for examples in federation.splits["client_train"]:
        features, _ = examples.batch(torch.arange(len(examples)))
        assert features.mean(dim=0).abs().max() < 1e-4
        spread = features.std(dim=0, correction=0)
        assert bool(((spread - 1).abs() < 1e-3).logical_or(spread < 1e-3).all())
    table = federation.imputed
    assert list(table.columns) == ["client", "client_name", "feature", "scope", "missing", "value", "source"]
    assert table["client"].dtype == "Int64"
    assert set(table.query("client_name == 'server'")["source"]) == {"pooled"}
    assert int(table.query("feature == 'ca'")["missing"].sum()) == 611
