import numpy as np
import pandas as pd

from fedlayers.figures.layers.curvature import gradient_curvature_sensitivity
from fedlayers.figures.layers.density import hessian_density
from fedlayers.views.client_profiles import curvature_rows
from fedlayers.views.rounds import in_round
from tests.support.drawn_figures import bars, drawn, legend_of, overlapping
from tests.support.figure_tables import Measured, frame, layer_rows, trace_of
from tests.support.quantities import KNOWN


def records(measured: Measured) -> pd.DataFrame:
    return frame(list(layer_rows(measured)), "records")


def test_composite_has_a_line_per_client_with_standard_errors() -> None:
    measured = Measured(norms=True)
    figure = gradient_curvature_sensitivity(records(measured), measured.facts, KNOWN)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["round 1", "round 10", "", "", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == [
        "gradient variance\nover parameters (nat²)", "Hessian trace (nat)", "cumulative\nsensitivity $S_l$",
    ]  # fmt: skip
    for axes, server_round in zip(figure.axes[2:4], (1, 10), strict=True):
        for client in range(5):
            traces = np.array([trace_of(client, layer, server_round) for layer in range(6)])
            np.testing.assert_allclose(drawn(axes)[f"client {client}"][1], traces)
            np.testing.assert_allclose(bars(axes)[f"client {client}"], np.abs(traces) / 6)
        medians = [np.median([trace_of(c, layer, server_round) for c in range(5)]) for layer in range(6)]
        np.testing.assert_allclose(drawn(axes)["median over clients"][1], medians)
    assert [axes.get_yscale() for axes in figure.axes[::2]] == ["log", "symlog", "linear"]
    assert "bars: ± 1 standard error" in legend_of(figure)
    assert "after local training" in figure.get_suptitle()


def test_sensitivity_passes_over_normalisation_layers() -> None:
    measured = Measured(norms=True)
    figure = gradient_curvature_sensitivity(records(measured), measured.facts, KNOWN)
    assert figure is not None
    x, y = drawn(figure.axes[4])["client 1"]
    assert x.tolist() == [0, 2, 3, 5]
    np.testing.assert_allclose(y, [1.0, 1.08, 1.12, 2.2])
    names = [label.get_text() for label in figure.axes[4].get_xticklabels()]
    assert names == measured.fake.layer_names


def test_many_clients_are_grey_and_two_have_no_median() -> None:
    many = Measured(clients=9, layers=3)
    figure = gradient_curvature_sensitivity(records(many), many.facts, KNOWN)
    assert figure is not None
    assert legend_of(figure) == ["median over clients", "one client", "bars: ± 1 standard error"]
    two = Measured(clients=2, layers=3)
    figure = gradient_curvature_sensitivity(records(two), two.facts, KNOWN)
    assert figure is not None
    assert legend_of(figure) == ["client 0", "client 1", "bars: ± 1 standard error"]


def test_composite_needs_two_of_its_metrics() -> None:
    measured = Measured()
    rows = records(measured)
    two = rows[rows["metric"].isin(["hessian_trace", "sensitivity_cumulative"])]
    figure = gradient_curvature_sensitivity(two, measured.facts, KNOWN)
    assert figure is not None and len(figure.axes) == 4
    one = rows[rows["metric"] == "hessian_trace"]
    assert gradient_curvature_sensitivity(one, measured.facts, KNOWN) is None
    assert curvature_rows(rows[:0]).empty


def test_one_round_is_one_column() -> None:
    measured = Measured()
    figure = gradient_curvature_sensitivity(in_round(records(measured), 10), measured.facts, KNOWN)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["round 10", "", ""]


def test_one_variant_where_a_layer_has_several() -> None:
    measured = Measured(clients=3)
    rows = records(measured).astype({"variant": object})
    traces = rows[rows["metric"] == "hessian_trace"]
    both = pd.concat([rows[rows["metric"] != "hessian_trace"], traces.assign(variant="b", value=1.0)])
    figure = gradient_curvature_sensitivity(
        pd.concat([both, traces.assign(variant="a")], ignore_index=True), measured.facts, KNOWN
    )
    assert figure is not None
    np.testing.assert_allclose(drawn(figure.axes[2])["client 1"][1], [trace_of(1, layer, 1) for layer in range(6)])


def test_densities_have_a_panel_per_layer_and_a_line_per_client() -> None:
    measured = Measured()
    spectra = frame(list(layer_rows(measured)), "spectra")
    figure = hessian_density(spectra, measured.facts)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == measured.fake.layer_names
    row = spectra[(spectra["client"] == 2) & (spectra["layer_index"] == 3) & (spectra["round"] == 10)].iloc[0]
    x, y = drawn(figure.axes[3])["client 2"]
    np.testing.assert_array_equal(x, row["x"])
    np.testing.assert_array_equal(y, np.where(row["y"] > 0, row["y"], np.nan))
    assert {axes.get_yscale() for axes in figure.axes} == {"log"}
    assert "round 10" in figure.get_suptitle()
    assert not overlapping(figure)
    assert hessian_density(spectra.assign(status="missing"), measured.facts) is None


def test_far_eigenvalues_stretch_the_axis() -> None:
    measured = Measured(clients=1, layers=3)
    spectra = frame(list(layer_rows(measured)), "spectra")
    figure = hessian_density(spectra, measured.facts)
    assert figure is not None and figure.axes[2].get_xscale() == "symlog"
    x = np.linspace(-1, 3, 101)
    curves = pd.DataFrame({"x": [x] * len(spectra), "y": [np.exp(-(x**2))] * len(spectra)}, index=spectra.index)
    figure = hessian_density(spectra.drop(columns=["x", "y"]).join(curves), measured.facts)
    assert figure is not None and figure.axes[2].get_xscale() == "linear"


def test_the_global_models_density_is_named() -> None:
    measured = Measured(clients=1, layers=1)
    spectra = frame(list(layer_rows(measured)), "spectra").astype({"client": object}).assign(client=None)
    figure = hessian_density(spectra, measured.facts)
    assert figure is not None and next(iter(drawn(figure.axes[0]))) == "global model"
