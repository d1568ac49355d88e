"""What charts of clients show is what the tables say."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform

from fedlayers.charts.charted import Charted
from fedlayers.charts.clients.compared import measured_between_clients
from fedlayers.charts.clients.holdings import client_holdings
from fedlayers.charts.clients.matrix import client_matrix
from fedlayers.charts.clients.memberships import cluster_flows
from fedlayers.charts.clients.merging import client_map, client_merging
from fedlayers.core.errors import UserError
from fedlayers.core.records import Pair, Record, missing
from fedlayers.runs.reading.tables import Tables, read
from fedlayers.statistics.merging import average_linkage
from fedlayers.views.clusters import clusters_in
from fedlayers.views.matrices import value_ends
from tests.support.chart_runs import frame_of, run_with
from tests.support.fake_run import Fake
from tests.support.figure_tables import Measured, write_measured_run
from tests.support.quantities import KNOWN

CLIENTS = 6
NAMES = ["<script>alert(1)</script>", "a very long name of a client " * 8, *map(str, range(2, CLIENTS))]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    return read(write_measured_run(tmp_path_factory.mktemp("results") / "main", Measured(clients=CLIENTS, layers=4)))


def between(client: int, other: int, value: float, metric: str = "cluster_distance", **more: Any) -> Pair:
    address: dict[str, Any] = {
        "run": "r", "round": 1, "moment": "after_local", "owner": "server", "subject": "clients", "client": client,
        "other": other, "other_round": 1, "variant": "l2",
    }  # fmt: skip
    return Pair(metric, value, **{**address, **more})


def cluster(server_round: int, client: int, number: int, variant: str = "l2") -> Record:
    where: dict[str, Any] = {"run": "r", "round": server_round, "moment": "after_local", "owner": "server"}
    return Record("cluster", float(number), client=client, variant=variant, **where)


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """A run whose even and odd clients are far from each other; client 5 changes sides."""
    rows = [
        between(one, two, 1.0 + 0.1 * one + 4.0 * ((one + two) % 2), round=number, other_round=number)
        for number in (1, 3)
        for one, two in combinations(range(CLIENTS), 2)
    ]
    sides = [cluster(1, client, 1 + client % 2) for client in range(CLIENTS)]
    later = [cluster(3, client, 1 if client == 5 else 1 + client % 2) for client in range(CLIENTS)]
    facts = {"client_names": NAMES, "clients": CLIENTS}
    return run_with(tmp_path_factory.mktemp("results") / "main", [*rows, *sides, *later], facts, Fake(clients=CLIENTS))


def square_of(charted: Charted) -> np.ndarray:
    """Return the matrix as the page draws it."""
    place = {client["client"]: at for at, client in enumerate(charted.facts["clients"])}
    found = np.full((len(place), len(place)), np.nan)
    for row in frame_of(charted).itertuples():
        ends = place[row.client], place[row.other]
        found[ends] = row.value
        if charted.facts["is_symmetric"]:
            found[ends[::-1]] = row.value
    np.fill_diagonal(found, charted.facts["itself"])
    return found


def test_a_matrix_has_the_values_of_the_table_on_the_scale_of_all_layers_and_rounds(tables: Tables) -> None:
    pairs = tables.pairs[(tables.pairs["metric"] == "cka") & (tables.pairs["subject"] == "clients")]
    for layer, number in (("head", 10), ("stem.conv", 1)):
        found = client_matrix(tables, "cka", layer, number)
        own = pairs[(pairs["layer"] == layer) & (pairs["round"] == number)]
        expected = own.pivot_table("value", "client", "other", observed=True).reindex(
            index=range(CLIENTS), columns=range(CLIENTS)
        )
        upper = np.triu_indices(CLIENTS, 1)
        np.testing.assert_array_equal(square_of(found)[upper], expected.to_numpy(float)[upper])
        assert found.facts["scale"]["limits"] == pytest.approx(value_ends(pairs, KNOWN["cka"]))
        assert found.facts["itself"] == 1.0 and not found.facts["scale"]["is_reversed"]
    assert client_matrix(tables, "cka", round=7).facts["round"] == 1
    assert client_matrix(tables, "cka").facts["layer"] == "head"  # whole models are not compared: the last layer
    assert client_matrix(tables, "cka_distance").facts["scale"]["is_reversed"]


def test_clients_stand_by_number_by_cluster_or_as_they_merge(clustered: Tables) -> None:
    orders = {order["name"]: order for order in client_matrix(clustered, "cluster_distance").facts["orders"]}
    assert orders["number"]["clients"] == list(range(CLIENTS))
    by_cluster = orders["cluster (l2), round 3"]
    assert by_cluster["clients"] == [0, 2, 4, 5, 1, 3]
    assert by_cluster["groups"] == ["cluster 1"] * 4 + ["cluster 2"] * 2
    assert [client % 2 for client in orders["merging"]["clients"]] in ([0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0])
    names = [client["name"] for client in client_matrix(clustered, "cluster_distance").facts["clients"]]
    assert names == NAMES


def test_a_dendrogram_joins_clients_at_the_distances_of_average_linkage(clustered: Tables) -> None:
    found = client_merging(clustered, "cluster_distance", round=1)
    frame = frame_of(found)
    heights = frame.groupby("merger")["y"].max().to_numpy()
    distances = square_of(client_matrix(clustered, "cluster_distance", round=1))
    np.testing.assert_allclose(np.sort(heights), np.sort(average_linkage(distances)[:, 2]))
    assert heights.max() == pytest.approx(cophenet(average_linkage(distances)).max())
    leaves = found.facts["leaves"]
    assert sorted(leaf["client"] for leaf in leaves) == list(range(CLIENTS))
    assert {leaf["client"]: leaf["cluster"] for leaf in leaves} == {client: 1 + client % 2 for client in range(CLIENTS)}
    assert found.facts["clusters"] == {"by": "l2", "round": 1}


def test_clusters_are_numbered_from_0_and_who_is_in_none_is_told_apart(tmp_path: Path) -> None:
    pairs = [between(one, two, 1.0 + one) for one, two in combinations(range(3), 2)]
    tables = run_with(tmp_path / "main", [*pairs, cluster(1, 0, 0), cluster(1, 1, 0)])
    leaves = client_merging(tables, "cluster_distance").facts["leaves"]
    assert {leaf["client"]: leaf["cluster"] for leaf in leaves} == {0: 0, 1: 0, 2: -1}
    assert clusters_in(tables.records, 1, {0: "a", 1: "b", 2: "c"})["cluster"].tolist() == [0, 0, -1]


def test_a_map_keeps_distances_and_joins_neighbours_up_to_the_median(clustered: Tables) -> None:
    found = client_map(clustered, "cluster_distance", round=1)
    frame = frame_of(found)
    nodes, lines = frame[frame["kind"] == "client"], frame[frame["kind"] == "line"]
    distances = square_of(client_matrix(clustered, "cluster_distance", round=1))
    reach = np.median(squareform(distances))
    assert {tuple(ends) for ends in lines[["client", "other"]].astype(int).to_numpy().tolist()} == {
        (one, two) for one, two in combinations(range(CLIENTS), 2) if distances[one, two] <= reach
    }
    assert lines["strength"].tolist() == pytest.approx(
        [1 - distances[int(one), int(two)] / reach for one, two in lines[["client", "other"]].to_numpy()]
    )
    even, odd = (nodes.loc[nodes["client"] % 2 == side, "x"].to_numpy(float) for side in (0, 1))
    assert even.max() < odd.min() or odd.max() < even.min()
    assert sum(found.facts["shares"]) <= 1.0 and found.facts["lines_left_out"] == 0


def test_similarities_are_turned_into_distances_and_clients_without_values_left_out(tmp_path: Path) -> None:
    rows = [between(one, two, 0.9 - 0.2 * (two == 3), "cka", layer="head", layer_index=0, variant=None)
            for one, two in combinations(range(4), 2)]  # fmt: skip
    lacking = [Pair(**{**vars_of(row), **vars_of(missing("cka", "no example")), **vars_of(row, kept=True)})
               if 2 in (row.client, row.other) else row for row in rows]  # fmt: skip
    tables = run_with(tmp_path / "main", lacking, {"client_names": ["a", "b", "c", "d"]})
    found = client_merging(tables, "cka")
    assert found.facts["left_out_names"] == ["c"] and found.facts["distance"] == "1 − CKA"
    assert frame_of(found).groupby("merger")["y"].max().tolist() == pytest.approx([0.1, 0.3])
    reasons = frame_of(client_matrix(tables, "cka"))["reason"]
    assert reasons.dropna().tolist() == ["no example"] * 3
    # A client that lacks values stands last in the order of merging.
    assert client_matrix(tables, "cka").facts["orders"][-1]["clients"][-1] == 2


def vars_of(row: Record, kept: bool = False) -> dict[str, Any]:
    names = ("run", "round", "moment", "owner", "subject", "client", "other", "layer", "layer_index")
    slots = [name for cls in type(row).__mro__ for name in getattr(cls, "__slots__", ())]
    return {name: getattr(row, name) for name in slots if not kept or name in names}


def test_a_measure_that_depends_on_the_order_has_a_matrix_but_no_dendrogram(tmp_path: Path) -> None:
    rows = [between(one, two, one + 0.1 * two, "predictivity") for one in range(3) for two in range(3) if one != two]
    tables = run_with(tmp_path / "main", rows)
    matrix = client_matrix(tables, "predictivity")
    assert not matrix.facts["is_symmetric"] and square_of(matrix)[2, 1] == 2.1 and square_of(matrix)[1, 2] == 1.2
    assert "a value for each of two orders" in client_merging(tables, "predictivity").facts["reason"]
    assert len(client_map(tables, "predictivity")) == 0 == len(client_merging(tables, "predictivity"))


def test_equal_clients_and_two_of_them_have_a_dendrogram_and_a_map(tmp_path: Path) -> None:
    same = run_with(tmp_path / "same", [between(one, two, 0.0) for one, two in combinations(range(4), 2)])
    assert frame_of(client_merging(same, "cluster_distance"))["y"].max() == 0.0
    places = frame_of(client_map(same, "cluster_distance"))
    assert places.loc[places["kind"] == "client", ["x", "y"]].abs().to_numpy().max() < 1e-9
    low, high = client_matrix(same, "cluster_distance").facts["scale"]["limits"]
    assert low == 0.0 <= high
    two = run_with(tmp_path / "two", [between(0, 1, 2.5)])
    assert frame_of(client_merging(two, "cluster_distance"))["y"].max() == 2.5
    assert len(client_map(two, "cluster_distance")) == 3


def test_of_many_clients_some_are_shown_and_the_nearest_lines(tmp_path: Path) -> None:
    many = 220
    pairs = [between(one, two, 1.0 + one + two / many) for one, two in combinations(range(many), 2)]
    tables = run_with(tmp_path / "main", pairs, fake=Fake(clients=many, rounds=1))
    matrix = client_matrix(tables, "cluster_distance")
    assert len(matrix.facts["clients"]) == 200 and matrix.facts["left_out"] == 20 and len(matrix) == 200 * 199 / 2
    shown = client_map(tables, "cluster_distance")
    assert (frame_of(shown)["kind"] == "line").sum() == 2000 and shown.facts["lines_left_out"] > 2000


def test_flows_say_who_goes_from_which_cluster_to_which(clustered: Tables) -> None:
    found = cluster_flows(clustered)
    assert found.facts["rounds"] == [1, 3] and found.facts["by"] == "l2" and found.facts["ways"] == ["l2"]
    columns = ["from_round", "from_cluster", "round", "cluster", "clients", "members"]
    assert frame_of(found)[columns].to_numpy().tolist() == [
        [1, 1, 3, 1, 3, "0, 2, 4"], [1, 2, 3, 1, 1, "5"], [1, 2, 3, 2, 2, "1, 3"],
    ]  # fmt: skip
    assert {"round": 3, "cluster": 1, "clients": [0, 2, 4, 5]} in found.facts["clusters"]
    with pytest.raises(UserError, match="by must be a way in which clusters were found, l2, got 'cosine'"):
        cluster_flows(clustered, "cosine")


def test_a_client_that_is_away_in_a_round_flows_nowhere(tmp_path: Path) -> None:
    rows = [cluster(number, client, 1) for number in (1, 2) for client in range(3) if (number, client) != (2, 1)]
    found = cluster_flows(run_with(tmp_path / "main", [*rows, cluster(1, 0, 2, "cosine")]), "l2")
    assert frame_of(found)["members"].tolist() == ["0, 2"] and found.facts["ways"] == ["cosine", "l2"]


def test_clusters_of_all_layers_and_later_of_those_a_plan_shares_are_one_way(tmp_path: Path) -> None:
    ways = {1: "l2", 2: "l2, shared", 3: "l2, shared"}
    rows: list[Record | Pair] = []
    for number, way in ways.items():
        rows += [cluster(number, client, client % 2, way) for client in range(4)]
        rows += [
            between(one, two, float(number), round=number, other_round=number, variant=way)
            for one, two in combinations(range(4), 2)
        ]
    run = run_with(tmp_path / "main", rows)
    assert cluster_flows(run).facts["ways"] == ["l2"] and cluster_flows(run).facts["rounds"] == [1, 2, 3]
    assert [client_merging(run, "cluster_distance", round=shown).facts["round"] for shown in (1, 2, None)] == [1, 2, 3]
    assert client_merging(run, "cluster_distance").facts["clusters"] == {"by": "l2", "round": 3}
    assert client_matrix(run, "cluster_distance").facts["orders"][1]["name"] == "cluster (l2), round 3"
    only = run_with(tmp_path / "other", [cluster(number, 0, 1, "l2, shared") for number in (1, 2)])
    assert cluster_flows(only).facts["ways"] == ["l2, shared"]


def test_what_clients_hold_is_the_partition(tables: Tables) -> None:
    frame = frame_of(client_holdings(tables))
    partition = tables.partition
    for split, scope in (("training", "client_train"), ("validation", "client_val"), ("test", "client_test")):
        counts = partition[partition["scope"] == scope].set_index(["client", "label"])["examples"]
        own = frame[frame["split"] == split].set_index(["client", "label"])["examples"]
        assert own.sort_index().to_dict() == counts.sort_index().to_dict()
    whole = frame[frame["split"] == "all"].groupby("client")["examples"].sum()
    assert whole.to_dict() == partition.groupby("client")["examples"].sum().to_dict()
    assert client_holdings(tables).facts["classes"] == [f"class {label}" for label in range(5)]


def test_what_there_is_to_choose_from_is_what_has_values(tables: Tables, clustered: Tables, tmp_path: Path) -> None:
    found = measured_between_clients(tables)
    assert set(frame_of(found)["metric"]) == {"cka", "cka_distance", "procrustes_distance"}
    assert found.facts["rounds"]["cka"] == [1, 10] and found.facts["main"] == "cka" and found.facts["clusters"] == []
    whole = measured_between_clients(clustered)
    assert frame_of(whole)[["metric", "layer", "layer_index"]].to_numpy().tolist() == [
        ["cluster_distance", "whole model", -1]
    ]
    assert whole.facts["clusters"] == ["l2"] and whole.facts["clients"][0]["name"] == NAMES[0]
    for layer, told in (
        ("x", "layer must be some of head"),
        (None, "metric must be one by which clients are compared, got 'norm'"),
    ):
        with pytest.raises(UserError, match=told):
            client_matrix(tables, "cka" if layer else "norm", layer)
    nothing = run_with(tmp_path / "main", [cluster(1, 0, 1)])
    assert len(measured_between_clients(nothing)) == 0 and measured_between_clients(nothing).facts["main"] is None
    assert isinstance(frame_of(cluster_flows(nothing)), pd.DataFrame)
