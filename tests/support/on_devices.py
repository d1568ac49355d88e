"""What a metric says of models on the device that a test is about, beside what it says of the same ones on the CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from fedlayers.core.records import Pair, Row, Spectrum
from metrics.base import ClientView, Metric
from tests.support.metric_views import client_view, network, server_view, some_rows, weights_of, where, with_sent

# Client -> the seed of its weights.
_SEEDS = {0: 1, 2: 2, 3: 3, 7: 4, 8: 6}
# What the two devices may differ by: rounding, in single precision, of what may be a difference of large numbers.
_TOLERANCE = 1e-3


def assert_as_on_the_cpu(metric: Metric) -> list[Row]:
    """Assert that a metric has values on the device, and the same rows on the CPU; return those of the device."""
    there = here = _rows_of(metric)
    if where[0].type != "cpu":
        with _on(torch.device("cpu")):
            here = _rows_of(metric)
    assert len(there) == len(here) and any(row.status == "ok" for row in there if isinstance(row, Pair))
    for one, other in zip(there, here, strict=True):
        assert type(one) is type(other) and (one.metric, one.layer) == (other.metric, other.layer)
        assert not isinstance(one, Spectrum) and not isinstance(other, Spectrum)
        assert one.value == pytest.approx(other.value, rel=_TOLERANCE, abs=_TOLERANCE, nan_ok=True)
    return there


def _rows_of(metric: Metric) -> list[Row]:
    sent = {client: metric.client(_view(seed)) for client, seed in _SEEDS.items()}
    weights = {client: weights_of(network(seed).to(where[0])) for client, seed in _SEEDS.items()}
    view = server_view(network(), weights, dict.fromkeys(_SEEDS, 1), after=weights_of(network(9)))
    views = {"received": lambda: _view(0), "aggregated": lambda: _view(9)}
    return list(metric.server(with_sent(replace(view, global_views=views), sent)).rows)


def _view(seed: int) -> ClientView:
    return replace(client_view(network(seed), {}), probe=some_rows(30, seed=5))


@contextmanager
def _on(device: torch.device) -> Iterator[None]:
    before, where[0] = where[0], device
    try:
        yield
    finally:
        where[0] = before
