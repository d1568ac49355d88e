"""Curvature of a client's model against dense Hessians, and what becomes of layers without one."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fedlayers.core.layers import layers_of
from fedlayers.core.records import Record, Row, Spectrum
from metrics.base import ClientView
from metrics.curvature import Curvature
from tests.metrics.hessian.test_hessian_products import Unused, dense, made
from tests.support.metric_views import assert_in_range, client_view, network, some_rows, value_of

pytestmark = pytest.mark.usefixtures("device")


def double_view(module: nn.Module, n: int = 60) -> ClientView:
    rows = some_rows(n)
    rows.features = rows.features.double()
    return client_view(module.double(), {"client_train": rows})


def exact_blocks(module: nn.Module, view: ClientView) -> dict[str, np.ndarray]:
    rows = view.data["client_train"].batch(torch.arange(60))
    return {layer.name: dense(module, layer, *rows).cpu().numpy() for layer in layers_of(module)}


@pytest.mark.parametrize("dense_below", [0, 100])
def test_values_are_those_of_the_dense_blocks(dense_below: int) -> None:
    module = network()
    view = double_view(module)
    blocks = exact_blocks(module, view)
    metric = Curvature(dense_below=dense_below, probes=(64, 64), density_runs=6, density_steps=30, eigenvalues=4)
    rows = metric.client(view).rows
    assert_in_range(metric, rows)
    for name, block in blocks.items():
        values = np.linalg.eigvalsh(block)
        largest = values[np.argsort(-np.abs(values))][:4]
        found = [value_of(rows, "hessian_eigenvalue", layer=name, subject=str(place)).value for place in (1, 2, 3, 4)]
        assert found == pytest.approx(largest.tolist(), rel=1e-4)
        for quantity, exact in (
            ("hessian_trace", values.sum()),
            ("hessian_frobenius", np.sqrt((values**2).sum())),
            ("hessian_nuclear", np.abs(values).sum()),
            ("hessian_negative_share", -values[values < 0].sum() / np.abs(values).sum()),
        ):
            row = value_of(rows, quantity, layer=name)
            assert row.variant == ("exact" if dense_below else "lanczos")
            spread = 1e-9 if dense_below else 4 * (row.stderr or 0) + 0.02 * abs(exact) + 1e-12
            assert row.value == pytest.approx(exact, rel=1e-6, abs=spread)
        assert value_of(rows, "hessian_operator_norm", layer=name).value == pytest.approx(abs(largest[0]), rel=1e-4)


def test_the_blocks_traces_sum_to_that_of_the_whole_and_their_eigenvalues_interlace() -> None:
    module = network()
    view = double_view(module)
    rows = Curvature(dense_below=100).client(view).rows
    assert value_of(rows, "hessian_trace").value == pytest.approx(
        sum(value_of(rows, "hessian_trace", layer=layer.name).value for layer in layers_of(module))
    )
    layers = layers_of(module)
    together = layers[0].__class__("all", 0, "linear", "all", sum((layer.parameters for layer in layers), ()), ())
    features, labels = view.data["client_train"].batch(torch.arange(60))
    whole = np.linalg.eigvalsh(dense(module, together, features, labels).numpy())
    assert value_of(rows, "hessian_trace").value == pytest.approx(whole.sum(), rel=1e-9)
    for block in exact_blocks(module, view).values():
        assert whole.min() - 1e-12 <= np.linalg.eigvalsh(block).min()
        assert np.linalg.eigvalsh(block).max() <= whole.max() + 1e-12


def test_a_network_of_relus_has_none_within_a_layer_and_conditions_are_of_whole_blocks() -> None:
    module = made(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    for dense_below in (0, 100):
        rows = Curvature(dense_below=dense_below).client(double_view(module)).rows
        assert value_of(rows, "hessian_negative_share", layer="0").value == pytest.approx(0, abs=1e-9)
        conditions = [row for row in rows if row.metric == "hessian_condition"]
        assert len(conditions) == (2 if dense_below else 0)


def test_a_linear_model_has_no_negative_curvature() -> None:
    view = double_view(made(nn.Linear(6, 4)))
    for dense_below in (0, 100):
        rows = Curvature(dense_below=dense_below, eigenvalues=3).client(view).rows
        assert value_of(rows, "hessian_negative_share", layer="0").value == pytest.approx(0, abs=1e-9)


def test_float32_is_good_to_four_digits() -> None:
    single, double = network(), network()
    rows = Curvature(dense_below=0).client(client_view(single, {"client_train": some_rows(60)})).rows
    exact = Curvature(dense_below=100).client(double_view(double)).rows
    for place in ("1", "2", "3"):
        row, other = (value_of(found, "hessian_eigenvalue", layer="0", subject=place) for found in (rows, exact))
        assert row.value == pytest.approx(other.value, rel=1e-3)


def test_the_density_is_a_spectrum_of_every_layer() -> None:
    rows = Curvature().client(double_view(network())).rows
    spectra = [row for row in rows if isinstance(row, Spectrum)]
    assert [row.layer for row in spectra] == ["0", "2", "3"]
    assert all(np.trapezoid(row.y, row.x) == pytest.approx(1, abs=1e-3) for row in spectra)
    assert not [
        row for row in Curvature(density_runs=0).client(double_view(network())).rows if isinstance(row, Spectrum)
    ]


def test_the_same_view_gives_the_same_numbers() -> None:
    view = client_view(network(), {"client_train": some_rows(300)})
    assert Curvature().client(view).rows == Curvature().client(view).rows


def reasons(rows: list[Row]) -> set[tuple[str | None, str | None]]:
    return {(row.layer, row.reason) for row in rows if isinstance(row, Record) and row.status == "missing"}


def test_layers_without_curvature_are_missing_and_the_others_go_on() -> None:
    module = Unused().double().eval()
    rows = some_rows(30, classes=3)
    rows.features = rows.features[:, :4].double()
    metric = Curvature()
    found = metric.client(client_view(module, {"client_train": rows})).rows
    assert ("idle", "the loss does not depend on it") in reasons(found)
    assert value_of(found, "hessian_trace", layer="used").status == "ok"
    assert_in_range(metric, found)
    assert not [row for row in found if isinstance(row, Record) and row.layer is None]


def test_a_broken_model_is_missing_with_its_reason() -> None:
    module = network()
    module.get_parameter("0.bias").data.fill_(torch.nan)
    found = Curvature().client(client_view(module, {"client_train": some_rows(30)})).rows
    assert {reason for _, reason in reasons(found)} == {"a product with the Hessian is not finite"}


def test_eigenvalues_that_do_not_converge_are_missing() -> None:
    found = Curvature(steps=6, tolerance=1e-9, dense_below=0).client(double_view(network())).rows
    assert ("0", "not converged after 6 steps; raise metrics.curvature.steps") in reasons(found)


def test_without_examples_everything_is_missing() -> None:
    metric = Curvature()
    rows = metric.client(client_view(network(), {})).rows
    assert {row.reason for row in rows if isinstance(row, Record)} == {"no examples in client_train"}
    assert_in_range(metric, rows)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scope": "probe"}, "scope must be client_train, client_val or client_test, got 'probe'"),
        ({"batch_examples": 0}, "batch_examples must be 1 or more, got 0"),
        ({"steps": 5}, "steps must be 6 or more, got 5"),
        ({"tolerance": 1.0}, r"tolerance must be in \(0, 1\), got 1.0"),
        ({"trace_tolerance": -0.1}, "trace_tolerance must be 0 or more, got -0.1"),
        ({"probes": [8]}, "probes must be two numbers, 2 or more and ascending, got"),
    ],
)
def test_mistakes_are_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Curvature(**arguments)
