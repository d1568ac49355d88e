from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedlayers.core.records import Pair
from fedlayers.figures.clients.client_matrix import client_matrices
from fedlayers.figures.clients.distances import similarity_composite
from fedlayers.figures.clients.model_matrix import model_matrices
from fedlayers.figures.drawing.heat_maps import heat_maps
from fedlayers.figures.layers.layer_matrix import layer_matrices
from fedlayers.figures.layers.similarity import similarity_profile
from fedlayers.views.matrices import layer_square
from fedlayers.views.pairs import PROFILED, pair_metrics, whole_model_metrics
from fedlayers.views.quantities import value_of_itself
from tests.support.drawn_figures import bands, drawn, legend_of, overlapping
from tests.support.figure_tables import Measured, frame, pair_rows, similarity_of
from tests.support.quantities import KNOWN

MEASURED = Measured()
FACTS = MEASURED.facts


@pytest.fixture(scope="module")
def pairs() -> pd.DataFrame:
    return frame(list(pair_rows(MEASURED)), "pairs")


def shown(axes: Axes) -> np.ndarray:
    matrix = axes.images[0].get_array()
    assert matrix is not None
    return np.ma.filled(matrix, np.nan)


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def all_pairs(layer: int, server_round: int) -> dict[tuple[int, int], float]:
    clients = range(MEASURED.clients)
    return {(a, b): similarity_of(a, b, layer, server_round) for a in clients for b in clients if a < b}


def test_profile_is_the_mean_over_pairs_of_each_relation(pairs: pd.DataFrame) -> None:
    figure = similarity_profile(pairs, "cka", FACTS, KNOWN)
    first, last = figure.axes
    assert (first.get_title(), last.get_title()) == ("round 1", "round 10")
    for axes, server_round in ((first, 1), (last, 10)):
        _, y = drawn(axes)["two clients"]
        means = [np.mean(list(all_pairs(layer, server_round).values())) for layer in range(6)]
        np.testing.assert_allclose(y, means)
        _, y = drawn(axes)["client and the global model it received"]
        received = [[np.exp(-0.02 * (layer + 1 + c / 3)) for c in range(5)] for layer in range(6)]
        np.testing.assert_allclose(y, np.mean(received, axis=1))
    assert "client and itself in the first round" not in drawn(first)
    assert "client and itself in the first round" in drawn(last)
    assert legend_of(figure)[: len(PROFILED)] == list(PROFILED.values())


def test_all_bands_of_a_profile_have_the_same_ends(pairs: pd.DataFrame) -> None:
    figure = similarity_profile(pairs, "cka", FACTS, KNOWN)
    assert "bands: 10th to 90th percentile of pairs" in legend_of(figure)
    areas = [np.asarray(a.get_paths()[0].vertices)[:, 1] for a in figure.axes[0].collections if a.get_paths()]
    values = np.exp(-0.02 * (1 + np.arange(5) / 3))
    low, high = np.quantile(values, [0.1, 0.9])
    assert any(np.isclose(ends, low).any() and np.isclose(ends, high).any() for ends in areas)


def test_chance_of_a_similarity_and_of_a_distance(pairs: pd.DataFrame) -> None:
    similarity = similarity_profile(pairs, "cka", FACTS, KNOWN).axes[0]
    assert bands(similarity)["chance: mean to 95 % quantile"] == pytest.approx((0.0, 0.05))
    distance = similarity_profile(pairs, "cka_distance", FACTS, KNOWN).axes[0]
    assert bands(distance)["chance: mean to 5 % quantile"] == pytest.approx((1.52, 1.571))
    assert distance.get_ylabel() == "CKA distance (rad)"
    without = pairs.assign(chance=np.nan, chance_hi=np.nan)
    assert not bands(similarity_profile(without, "cka", FACTS, KNOWN).axes[0])


def test_several_variants_of_a_layer_have_panels_of_their_own(pairs: pd.DataFrame) -> None:
    rows = pairs[pairs["metric"] == "cka"].astype({"variant": object})
    biased = rows.assign(variant="biased", value=rows["value"] + 0.01)
    figure = similarity_profile(pd.concat([rows, biased], ignore_index=True), "cka", FACTS, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["CKA\nbiased", "CKA\ndebiased, pooled"]
    gap = drawn(figure.axes[0])["two clients"][1] - drawn(figure.axes[2])["two clients"][1]
    np.testing.assert_allclose(gap, 0.01)
    sketched = rows.assign(variant=["sketch" if index > 3 else "debiased" for index in rows["layer_index"]])
    figure = similarity_profile(sketched, "cka", FACTS, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes] == ["CKA\ndebiased / sketch", ""]
    assert len(drawn(figure.axes[0])["two clients"][1]) == 6


def test_moments_have_panels_of_their_own(pairs: pd.DataFrame) -> None:
    both = pd.concat([pairs, pairs.assign(moment="after_aggregate")], ignore_index=True)
    figure = similarity_profile(both, "cka", FACTS, KNOWN)
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["CKA\nafter local training", "CKA\nafter aggregation"]


def test_composite_is_each_clients_mean_over_the_others(pairs: pd.DataFrame) -> None:
    figure = similarity_composite(pairs, FACTS, KNOWN)
    assert figure is not None
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["Procrustes distance (rad)", "CKA distance (rad)"]
    for axes, server_round in zip(figure.axes[2:], (1, 10), strict=True):
        for client in range(5):
            _, y = drawn(axes)[f"client {client}"]
            for layer in range(6):
                mine = [v for pair, v in all_pairs(layer, server_round).items() if client in pair]
                assert y[layer] == pytest.approx(np.mean(np.arccos(mine)))
        assert axes.get_ylim()[0] == 0
        assert "chance: mean to 5 % quantile" in bands(axes)
    only = similarity_composite(pairs[pairs["metric"] == "cka_distance"], FACTS, KNOWN)
    assert only is not None and len(only.axes) == 2
    assert similarity_composite(pairs[pairs["metric"] == "cka"], FACTS, KNOWN) is None


def test_client_matrices_are_full_and_have_a_true_diagonal(pairs: pd.DataFrame) -> None:
    figure = client_matrices(pairs, "cka", FACTS, KNOWN)
    maps = panels(figure)
    assert len(maps) == 12
    assert [axes.get_title() for axes in maps[:6]] == MEASURED.fake.layer_names
    assert (maps[0].get_ylabel(), maps[6].get_ylabel()) == ("round 1\nclient", "round 10\nclient")
    for place, axes in enumerate(maps):
        matrix = shown(axes)
        expected = np.eye(5)
        for (a, b), value in all_pairs(place % 6, 1 if place < 6 else 10).items():
            expected[a, b] = expected[b, a] = value
        np.testing.assert_allclose(matrix, expected)
        assert axes.images[0].get_clim() == maps[0].images[0].get_clim()
        assert {text.get_text() for text in axes.texts} >= {"1.00", f"{expected[0, 1]:.2f}"}
    assert np.diag(shown(panels(client_matrices(pairs, "cka_distance", FACTS, KNOWN))[0])).tolist() == [0.0] * 5


def test_what_a_thing_is_with_itself_is_known_of_bounded_measures_only() -> None:
    assert [value_of_itself(KNOWN[name]) for name in ("cka", "cka_distance")] == [1.0, 0.0]
    assert np.isnan([value_of_itself(KNOWN["information"]), value_of_itself(KNOWN["unknown"])]).all()
    assert KNOWN["cka"].symmetric and not KNOWN["predictivity"].symmetric and not KNOWN["unknown"].symmetric


def test_names_of_clients_are_used(pairs: pd.DataFrame) -> None:
    names: Mapping[str, Any] = FACTS | {"client_names": ["Ann", "Bob", "Cas", "Dee", "Eve"]}
    axes = panels(client_matrices(pairs, "cka", names, KNOWN))[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Ann", "Bob", "Cas", "Dee", "Eve"]


def test_layer_matrix_is_the_mean_over_clients(pairs: pd.DataFrame) -> None:
    figure = layer_matrices(pairs, "cka", FACTS, KNOWN)
    maps = panels(figure)
    assert [axes.get_title() for axes in maps] == ["round 1", "round 10"]
    expected = 0.9 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))) - 0.02
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(shown(maps[0]), expected)
    assert [label.get_text() for label in maps[0].get_yticklabels()] == MEASURED.fake.layer_names
    assert "mean over clients" in figure.get_suptitle()


def test_layers_that_were_not_compared_have_no_value() -> None:
    rows = pd.DataFrame({"layer": ["a"], "other_layer": ["c"], "value": [0.5]})
    matrix = layer_square(rows, ["a", "b", "c"], symmetric=True, itself=1.0)
    np.testing.assert_array_equal(matrix, [[1.0, np.nan, 0.5], [np.nan, 1.0, np.nan], [0.5, np.nan, 1.0]])
    figure = heat_maps({"": {"round 1": matrix}}, ["a", "b", "c"], KNOWN["cka"], "layer", (0.5, 1.0))
    assert figure.axes[-1].get_ylabel() == "CKA\ndark: alike, grey: no value"


def test_dark_is_alike() -> None:
    matrix = np.array([[0.0, 1.0], [1.0, 0.0]])
    for metric, alike in (("cka_distance", 0.0), ("cka", 1.0)):
        image = panels(heat_maps({"": {"x": matrix}}, ["a", "b"], KNOWN[metric], "client", (0.0, 1.0)))[0].images[0]
        colours = image.to_rgba(np.array([alike, 1 - alike]))[:, :3].mean(1)
        assert colours[0] < colours[1]


# Rows and columns of panels follow from the layers, and what fits into each from the clients.
@pytest.mark.parametrize(("layers", "clients"), [(3, 2), (3, 20), (24, 20)])
def test_matrices_stay_legible(clients: int, layers: int) -> None:
    measured = Measured(clients, layers)
    pairs = frame([row for row in pair_rows(measured) if getattr(row, "subject", "") == "clients"], "pairs")
    figure = client_matrices(pairs[pairs["metric"] == "cka"], "cka", measured.facts, KNOWN)
    assert len(panels(figure)) == (6 if layers == 3 else 20)
    assert ("20 of 24 layers" in figure.get_suptitle()) == (layers == 24)
    figure.get_layout_engine().execute(figure)  # type: ignore[union-attr]
    assert not overlapping(figure)


def test_pairs_without_a_relation_are_not_drawn(pairs: pd.DataFrame) -> None:
    assert pair_metrics(pairs, ("clients",)) == ["cka", "cka_distance", "procrustes_distance"]
    assert pair_metrics(pairs.assign(subject=None), ("clients",)) == []
    assert pair_metrics(pairs.assign(status="missing"), ("clients",)) == []


def model_rows(metric: str, rounds: int, **columns: Any) -> list[Pair]:
    return [
        Pair(metric, 10.0 * number + 3 * a + b, subject="clients", owner="client", model="personal", client=a, other=b,
             other_round=number, round=number, moment="after_local", run="r", **columns)
        for number in range(1, rounds + 1) for a in range(3) for b in range(3) if a < b
    ]  # fmt: skip


def test_whole_models_have_a_matrix_for_every_round() -> None:
    rows = frame(model_rows("information", 3), "pairs")
    assert whole_model_metrics(rows) == ["information"] and pair_metrics(rows, ("clients",)) == []
    figure = model_matrices(rows, "information", FACTS, KNOWN)
    assert [axes.get_title() for axes in panels(figure)] == ["round 1", "round 2", "round 3"]
    second = shown(panels(figure)[1])
    assert second[0, 1] == second[1, 0] == 21 and second[1, 2] == 25
    assert not overlapping(figure)


def test_many_rounds_are_thinned_out_and_variants_are_below_one_another() -> None:
    both = [*model_rows("information", 20, variant="mean"), *model_rows("information", 20, variant="sum")]
    figure = model_matrices(frame(both, "pairs"), "information", FACTS, KNOWN)
    titles = [axes.get_title() for axes in panels(figure)]
    assert len(titles) == 16 and titles[0] == "round 1" and titles[7] == "round 20"
    assert [axes.get_ylabel() for axes in panels(figure)][::8] == ["mean\nclient", "sum\nclient"]


def test_small_values_are_written_with_the_digits_they_have() -> None:
    matrix = np.array([[0.0, 0.0042], [0.0042, 0.0]])
    figure = heat_maps({"": {"": matrix}}, ["a", "b"], KNOWN["information"], "client", (0.0, 0.0042))
    assert {text.get_text() for text in panels(figure)[0].texts} == {"0", "0.004"}
