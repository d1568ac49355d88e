"""Gradients and products with Hessians are the same whoever they are measured with."""

from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlayers.core.records import Record, Row, Spectrum
from metrics.base import ClientView, Metric
from metrics.curvature import Curvature
from metrics.hessian import products
from metrics.hessian import stacked as home
from metrics.hessian.stacked import loss_graph
from metrics.sensitivity import Sensitivity
from tests.support.cohort_views import both_ways, cnn, mlp, views_of

pytestmark = pytest.mark.usefixtures("device")


def asked(view: ClientView) -> list[Tensor]:
    """Return losses, gradients, and products with one vector and several; clients ask for different numbers of them."""
    graph = loss_graph(view, "client_train", torch.arange(len(view.data["client_train"])))
    found = [torch.tensor(graph.loss, dtype=torch.float64)]
    generator = torch.Generator().manual_seed(view.seed)
    for layer in view.layers:
        assert graph.is_used(layer)
        own = [view.parameters[name] for name in layer.names]
        size = sum(tensor.numel() for tensor in own)
        vectors = torch.randn(2 + view.seed % 2, size, generator=generator, dtype=own[0].dtype).to(view.device)
        found += [*graph.gradients(layer), *graph.product(layer, own), graph.products(layer, vectors)]
        found += graph.product(layer, own[:1], layer.names[:1])
        for _ in range(view.seed):
            found += graph.product(layer, own)
    return found


@pytest.mark.parametrize("make", [mlp, cnn])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_as_one_they_have_the_gradients_and_products_of_each_alone(
    make: Callable[[], nn.Module], dtype: torch.dtype, tolerance: float
) -> None:
    for alone, found in both_ways(views_of(make, dtype=dtype), asked, home._Graphing):
        assert len(alone) == len(found)
        for one, other in zip(alone, found, strict=True):
            size = float(one.abs().max())
            torch.testing.assert_close(other, one, rtol=tolerance, atol=tolerance * size)


CURVATURE = Curvature(batch_examples=8, eigenvalues=2, steps=12, probes=(3, 4), density_runs=2, dense_below=2)


@pytest.mark.parametrize("metric", [CURVATURE, Sensitivity(batches=3, batch_examples=2, second_order_batches=2)])
def test_metrics_of_second_derivatives_have_the_rows_of_each_alone(metric: Metric) -> None:
    """Searches for eigenvalues take unequal numbers of products, and one client has fewer batches than others."""

    def rows(view: ClientView) -> Sequence[Row]:
        return metric.client(view).rows

    for alone, found in both_ways(views_of(mlp, counts=(9, 5, 12, 2)), rows, home._Graphing):
        assert [(row.metric, isinstance(row, Record) and row.reason) for row in found] == [
            (row.metric, isinstance(row, Record) and row.reason) for row in alone
        ]
        np.testing.assert_allclose(_numbers(found), _numbers(alone), rtol=1e-7, atol=1e-10)


def _numbers(rows: Sequence[Row]) -> np.ndarray:
    values = [row.value for row in rows if isinstance(row, Record)]
    return np.array(values + [number for row in rows if isinstance(row, Spectrum) for number in (*row.x, *row.y)])


def test_products_that_do_not_fit_together_are_taken_singly() -> None:
    real = products.differentiated_again

    def small(*arguments: Any, batched: bool) -> list[Tensor]:
        if batched:
            raise MemoryError
        return real(*arguments, batched=batched)

    with mock.patch.object(home, "differentiated_again", small):
        for alone, found in both_ways(views_of(mlp), asked, home._Graphing):
            torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-9)


def test_a_product_that_fails_says_why() -> None:
    def broken(*_: Any, batched: bool) -> list[Tensor]:
        raise RuntimeError("no second derivative")

    with (
        mock.patch.object(home, "differentiated_again", broken),
        pytest.raises(RuntimeError, match="no second derivative"),
    ):
        both_ways(views_of(mlp, counts=(3, 3)), asked, home._Graphing)
