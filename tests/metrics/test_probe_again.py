"""What was found out about one model on the probe serves others where it holds, and changes no number."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedlayers.core.layers import layers_of
from metrics.base import ClientView
from metrics.probe.activations import layer_outputs, probe_activations
from metrics.probe.payload import global_outputs
from tests.support.metric_views import client_view, network, server_view, some_rows

pytestmark = pytest.mark.usefixtures("device")

PROBE = some_rows(20, seed=5)
FEATURES = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))


@contextmanager
def batches_of(module: nn.Module) -> Iterator[list[int]]:
    """Collect how many examples each pass of a model has."""
    found: list[int] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: found.append(len(inputs[0])))
    yield found
    handle.remove()


def view_of(module: nn.Module, **changes: Any) -> ClientView:
    return replace(client_view(module, {}), probe=PROBE, **changes)


def test_where_the_examples_are_is_found_out_once() -> None:
    cache: dict[Any, Any] = {}
    passes = []
    for seed in (1, 2):
        module = network(seed)
        with batches_of(module) as sizes:
            found = probe_activations(view_of(module, module_cache=cache), "pooled").outputs
        passes.append(sizes)
        alone = probe_activations(view_of(module), "pooled").outputs
        assert found.keys() == alone.keys() and all(torch.equal(found[name], alone[name]) for name in found)
    assert passes == [[2, 3, 20], [20]]


class Chosen(nn.Module):
    """Its weights decide which of its layers sees the examples."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.ways = nn.ModuleList([nn.Linear(6, 3), nn.Linear(6, 3)])
        self.gate = nn.Linear(6, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.ways[int(self.gate(x).mean() > 0)](x)
        return found


def test_a_layer_that_some_models_leave_out_is_found_in_the_others() -> None:
    known: dict[object, dict[str, int]] = {}
    for bias, used in ((1.0, "ways.1"), (-1.0, "ways.0")):
        module = Chosen(bias).eval()
        found = layer_outputs(module, layers_of(module), [FEATURES], "pooled", known)
        assert set(found.outputs) == {"gate", used}
    assert not known


class Drawing(nn.Module):
    """It draws at random, in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(F.dropout(x, training=True))
        return found


def test_a_model_that_draws_gives_the_same_whoever_was_looked_at_before() -> None:
    module, known = Drawing().eval(), dict[object, dict[str, int]]()
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(layer_outputs(module, layers_of(module), [FEATURES], "pooled", known).outputs["fc"])
    assert not known and torch.equal(*outputs)


def test_a_global_model_is_measured_again_only_where_it_differs() -> None:
    module, other = network(1), network(1)
    with torch.no_grad():
        dict(other.named_parameters())["3.bias"][0].add_(1e-6)
    buffers = {"seen": torch.ones(1)}
    models = {"same": view_of(module), "other": view_of(other), "buffers": view_of(other, buffers=buffers)}
    remembered: dict[Any, Any] = {}
    passes = {}
    with batches_of(module) as own, batches_of(other) as others:
        for round_, name in enumerate(("same", "same", "other", "buffers", "buffers", "same")):
            views = {"received": lambda name=name: replace(models[name], cache={})}
            view = replace(server_view(network(), {}, {}), global_views=views, remembered=remembered)
            before = len(own) + len(others)
            found = global_outputs(view, "received", "pooled")
            passes[round_] = len(own) + len(others) > before
            fresh = global_outputs(replace(view, cache={}, remembered={}), "received", "pooled")
            assert found.keys() == fresh.keys() and all(torch.equal(found[key], fresh[key]) for key in found)
    assert list(passes.values()) == [True, False, True, True, False, True]


def test_large_outputs_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.probe.payload._REMEMBERED_BYTES", 100)
    remembered: dict[Any, Any] = {}
    view = server_view(network(), {}, {})
    view = replace(view, global_views={"received": lambda: view_of(network(1))}, remembered=remembered)
    assert global_outputs(view, "received", "pooled")
    assert all(not outputs for _, outputs in remembered.values())


def test_a_global_model_that_draws_is_measured_every_time() -> None:
    module, remembered, found = Drawing().eval(), dict[Any, Any](), []
    for seed in (3, 4, 3):
        torch.manual_seed(seed)
        views = {"received": lambda: view_of(module)}
        view = replace(server_view(network(), {}, {}), global_views=views, remembered=remembered)
        found.append(global_outputs(view, "received", "pooled")["fc"])
    assert torch.equal(found[0], found[2]) and not torch.equal(found[0], found[1])
