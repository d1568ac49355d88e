"""Which rows profiles and matrices of pairs, clusters and partitions are made of: tables in, tidy frames out."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedlayers.core.quantities import Facts
from fedlayers.core.records import Pair, Record
from fedlayers.views.client_names import client_names
from fedlayers.views.clusters import client_groups, cluster_distances, clusters_in
from fedlayers.views.holdings import holdings
from fedlayers.views.matrices import (
    between_clients,
    client_matrices,
    client_square,
    layer_matrices,
    layer_names,
    layer_square,
    model_matrices,
    value_ends,
)
from fedlayers.views.numbered import names_in
from fedlayers.views.pairs import PROFILED, client_distances, distance_metrics, most_pairs, pair_profile
from tests.support.figure_tables import Measured, frame, pair_rows

MEASURED = Measured(clients=4, layers=3)


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return frame(list(pair_rows(MEASURED)), "pairs")


def pair(client: int, other: int, value: float, number: int = 1, **more: Any) -> Pair:
    address: dict[str, Any] = {"subject": "clients", "moment": "after_local", "owner": "client", "run": "r"}
    return Pair("d", value, client=client, other=other, round=number, **(address | more))


def test_a_profile_of_pairs_has_a_line_per_relation(pairs: pd.DataFrame) -> None:
    rows = pair_profile(pairs, "cka", MEASURED.facts)
    assert names_in(rows, "line") == dict(enumerate(PROFILED.values()))
    assert names_in(rows, "panel") == {0: ""} and names_in(rows, "column") == {0: "round 1", 1: "round 10"}
    assert set(rows[rows["line"] == 3]["other_round"]) == {1}
    assert most_pairs(rows) == 6  # of four clients
    both = pd.concat([pairs, pairs.assign(moment="after_aggregate")], ignore_index=True)
    assert names_in(pair_profile(both, "cka", MEASURED.facts), "panel") == {
        0: "after local training", 1: "after aggregation",
    }  # fmt: skip


def test_distances_have_a_panel_each(pairs: pd.DataFrame) -> None:
    rows = client_distances(pairs, MEASURED.facts)
    assert names_in(rows, "panel") == {0: "procrustes_distance", 1: "cka_distance"}
    assert set(rows["subject"]) == {"clients"}
    assert distance_metrics(pairs[pairs["metric"] == "cka_distance"]) == ["cka_distance"]
    assert client_distances(pairs[pairs["metric"] == "cka"], MEASURED.facts).empty


def test_few_layers_are_compared_in_two_rounds_and_many_in_the_last(pairs: pd.DataFrame) -> None:
    rows = client_matrices(pairs, "cka")
    assert names_in(rows, "line") == {0: "round 1", 1: "round 10"}
    assert list(names_in(rows, "panel").values()) == MEASURED.fake.layer_names
    many = frame([row for row in pair_rows(Measured(2, 24)) if getattr(row, "subject", "") == "clients"], "pairs")
    rows = client_matrices(many, "cka")
    assert names_in(rows, "line") == {0: "round 10"} and len(names_in(rows, "panel")) == 20
    assert rows["layer"].nunique() == 24


def test_whole_models_are_compared_by_round_and_variant() -> None:
    rows = [pair(0, 1, 1.0, number, variant=variant) for number in range(1, 21) for variant in ("sum", "mean")]
    found = model_matrices(frame(rows, "pairs"), "d")
    assert names_in(found, "line") == {0: "mean", 1: "sum"}
    titles = list(names_in(found, "panel").values())
    assert (len(titles), titles[0], titles[-1]) == (8, "round 1", "round 20")


def test_layers_are_compared_in_the_first_and_the_last_round(pairs: pd.DataFrame) -> None:
    rows = layer_matrices(pairs, "cka")
    assert names_in(rows, "panel") == {0: "round 1", 1: "round 10"} and layer_names(rows) == MEASURED.fake.layer_names
    assert set(rows["variant_name"]) == {""}
    # A distance from the layers of the model that a client received goes by the same name; it is not within a client.
    received = pairs[pairs["subject"] == "layers"].assign(other=None)
    within = layer_matrices(pd.concat([pairs, received]), "cka")
    assert len(within) == len(rows) and within["other"].notna().all()
    assert len(layer_matrices(received, "cka")) == len(rows)


def test_squares_are_mirrored_only_if_that_is_true() -> None:
    rows = pd.DataFrame({"client": [7, 2], "other": [2, 5], "value": [0.3, 0.6]})
    nan = np.nan
    np.testing.assert_array_equal(
        client_square(rows, [2, 5, 7], symmetric=False, itself=1.0), [[1, 0.6, nan], [nan, 1, nan], [0.3, nan, 1]]
    )
    np.testing.assert_array_equal(
        client_square(rows, [2, 5, 7], symmetric=True, itself=nan), [[nan, 0.6, 0.3], [0.6, nan, nan], [0.3, nan, nan]]
    )
    layers = pd.DataFrame({"layer": ["a", "a"], "other_layer": ["b", "b"], "value": [0.2, 0.4]})
    np.testing.assert_allclose(layer_square(layers, ["b", "a"], symmetric=True, itself=0.0), [[0, 0.3], [0.3, 0]])


def test_matrices_between_clients_are_told_apart_by_what_differs() -> None:
    rows = [
        pair(0, 1, 1.0, variant="mean", scope="probe", model="personal"),
        pair(0, 1, 2.0, variant="sum", scope="probe", model="personal"),
        pair(0, 1, np.nan, layer="conv1", layer_index=0, status="missing"),
        pair(0, 1, 3.0, subject="rounds"),
    ]
    found = between_clients(frame(rows, "pairs"))
    assert found["matrix"].tolist() == [0, 1, 2]
    assert found["matrix_name"].tolist() == ["mean", "sum", ""]
    assert found["measured"].tolist() == [
        "mean, after local training, personal models, on probe", "sum, after local training, personal models, on probe",
        "after local training",
    ]  # fmt: skip
    assert between_clients(frame(rows[3:], "pairs")).empty


def test_the_ends_of_a_colour_scale_are_those_of_the_quantity(pairs: pd.DataFrame) -> None:
    rows = pairs[(pairs["metric"] == "cka") & (pairs["subject"] == "clients")]
    low, high = value_ends(rows, Facts("cka", "1", -1.0, 1.0, "higher", "test", symmetric=True))
    assert low == rows["value"].min() and high == 1.0
    low, high = value_ends(rows, Facts("other", "", -np.inf, np.inf, "neutral", ""))
    assert (low, high) == (rows["value"].min(), rows["value"].max())


def cluster_tables(groups: list[int]) -> tuple[pd.DataFrame, pd.DataFrame]:
    records = [
        Record("cluster", float((group + number) % 3), client=client, round=number, moment="after_local",
               owner="client", variant="cosine_dst", run="r")
        for number in (1, 5) for client, group in enumerate(groups)
    ]  # fmt: skip
    rows = [
        Pair("cluster_distance", float(number), subject="clients", client=one, other=two, round=number, run="r",
             moment="after_local", owner="client")
        for number in (1, 5) for one, two in combinations(range(len(groups)), 2)
    ]  # fmt: skip
    return frame(records, "records"), frame(rows, "pairs")


def test_clusters_are_those_of_the_last_round() -> None:
    records, pairs = cluster_tables([0, 1, 0])
    assert set(cluster_distances(records, pairs)["value"]) == {5.0}
    assert cluster_distances(records[:0], pairs).empty and cluster_distances(*cluster_tables([0, 1])).empty
    found = clusters_in(records, 5, {0: "Ann", 2: "Cas", 9: "9"})
    assert found.to_numpy().tolist() == [[0, "Ann", 2], [2, "Cas", 2], [9, "9", -1]]


def test_groups_are_planted_ones_and_clusters() -> None:
    records, _ = cluster_tables([0, 1, 0])
    partition = pd.DataFrame({"client": [0, 0, 1, 2], "planted_group": [1.0, 1.0, 0.0, np.nan]})
    found = client_groups(records, partition)
    assert found.to_numpy().tolist() == [
        ["planted group", 0, "group 1"],
        ["planted group", 1, "group 0"],
        ["cluster (cosine_dst), round 5", 0, "cluster 2"],
        ["cluster (cosine_dst), round 5", 1, "cluster 0"],
        ["cluster (cosine_dst), round 5", 2, "cluster 2"],
    ]
    nothing = client_groups(records[:0], partition[["client"]])
    assert nothing.empty and list(nothing) == ["by", "client", "group"]


def test_clients_are_called_by_name_or_number() -> None:
    ends = pd.Series([3, None], dtype="Int32"), pd.Series([0, 3], dtype="Int32")
    assert client_names({"client_names": ["Ann", "Bob"]}, *ends) == {0: "Ann", 3: "3"}
    assert client_names({}, ends[0]) == {3: "3"}


def test_holdings_are_by_split_and_none_where_there_is_nothing() -> None:
    rows = [(0, "client_train", 3), (0, "client_test", 0), (1, "client_val", 2), (None, "server_test", 9)]
    partition = pd.DataFrame(rows, columns=["client", "scope", "examples"]).assign(
        client_name="Ann", label=0, label_name="cat", run="r"
    )
    found = holdings(partition)
    assert found[["split", "examples"]].to_numpy().tolist() == [["training", 3], ["test", 0], ["validation", 2]]
    assert holdings(partition.assign(examples=0)).empty and holdings(partition[3:]).empty
    crowd = pd.concat([partition[:1].assign(client=client) for client in range(1200)], ignore_index=True)
    clients = holdings(crowd)["client"]
    assert (clients.nunique(), clients.min(), clients.max()) == (1000, 0, 1199)
