"""Gradient norms without waiting, and alarms while it happens."""

import copy
import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedlayers
from fedlayers.core.layers import layers_of
from metrics.tracking.isolation import TrackingWarning
from metrics.training_dynamics import GradientTracker
from metrics.training_dynamics.gradients.alarms import Window, alarms_in
from metrics.training_dynamics.gradients.weight_histograms import BINS, histograms_of
from tests.support.tracked_training import TwoHeads, step

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def chain(*widths: int, between: Callable[[], nn.Module] = nn.ReLU) -> Any:
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    for first, second in pairwise(widths):
        parts += [nn.Linear(first, second), between()]
    return nn.Sequential(*parts[:-1])


def train(model: nn.Module, steps: int, scale: float = 1.0, lr: float = 0.01) -> None:
    for _ in range(steps):
        model.zero_grad()
        (scale * model(X).square().mean()).backward()
        with torch.no_grad():
            for tensor in model.parameters():
                if tensor.grad is not None:
                    tensor.sub_(lr * tensor.grad)


def tracked(model: nn.Module, folder: Path, **settings: Any) -> GradientTracker:
    tracker = GradientTracker(model, folder / "dynamics", **settings)
    tracker.register_hooks()
    return tracker


def test_norms_are_those_of_the_gradients_and_updates_those_of_the_weights(tmp_path: Path) -> None:
    model = chain(6, 5, 3)
    tracker = tracked(model, tmp_path, window=2)
    norms, ratios, before = [], [], None
    for _ in range(4):
        weights = torch.cat([tensor.detach().flatten().clone() for tensor in model[0].parameters()])
        if before is not None:
            ratios.append(float((weights - before).norm() / before.norm()))
        before = weights
        train(model, 1)
        norms.append(float(torch.cat([tensor.grad.flatten() for tensor in model[0].parameters()]).norm()))
    tracker.update(epoch=1)
    found = tracker.history[1]["0"]
    assert found.norm.n == 4 and found.norm.mean == pytest.approx(np.mean(norms), rel=1e-5)
    assert found.norm.sd == pytest.approx(np.std(norms, ddof=1), rel=1e-4)
    assert (found.norm.low, found.norm.high) == pytest.approx((min(norms), max(norms)), rel=1e-5)
    # One update a window: from its first step to its second.
    assert found.update_ratio.mean == pytest.approx(np.mean(ratios[::2]), rel=1e-4)
    assert tracker.weights[1]["0"].norm == pytest.approx(
        float(torch.cat([p.detach().flatten() for p in model[0].parameters()]).norm())
    )
    assert tracker.weights[0]["0"].counts.sum() == model[0].weight.numel()


def test_no_step_within_a_window_waits_for_the_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain(6, 5, 3)
    tracker = tracked(model, tmp_path, window=100)
    waits: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        before = getattr(Tensor, name)

        def call(*args: Any, **keywords: Any) -> Any:
            waits.append(name)
            return before(*args, **keywords)

        return call

    with monkeypatch.context() as patched:
        for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
            patched.setattr(Tensor, name, counted(name))
        train(model, 5)
    assert waits == []
    tracker.update(epoch=1)
    assert tracker.history[1]["0"].norm.n == 5


def test_deep_sigmoids_vanish_whatever_the_scale_of_the_loss(tmp_path: Path) -> None:
    for scale in (1e-5, 1.0, 1e5):
        model = chain(6, *[8] * 7, 3, between=nn.Sigmoid)
        tracker = tracked(model, tmp_path, window=4)
        with pytest.warns(TrackingWarning, match=r"vanishing: layer 0, step 1: root mean square"):
            train(model, 4, scale, lr=0.0)
        alarm = next(alarm for alarm in tracker.alarms if alarm.layer == "0")
        assert alarm.kind == "vanishing" and 0 < alarm.value < 1e-4
        assert not [alarm for alarm in tracker.alarms if alarm.kind == "vanishing" and alarm.layer in ("12", "14")]
        tracker.remove_hooks()


def test_the_size_of_a_layer_is_no_alarm(tmp_path: Path) -> None:
    model = chain(6, 2, 700, 3)
    tracker = tracked(model, tmp_path, window=5)
    train(model, 10)
    assert tracker.alarms == [] == tracker.problems


def test_a_late_explosion_is_told_while_it_happens_with_layer_epoch_and_step(tmp_path: Path) -> None:
    model = chain(6, 5, 3)
    tracker = tracked(model, tmp_path, window=5)
    for epoch in (1, 2):
        tracker.start_epoch(epoch)
        train(model, 10)
        tracker.update(epoch)
    tracker.start_epoch(3)
    train(model, 7)
    with pytest.warns(
        TrackingWarning, match=r"exploding: layer 2, epoch 3, step 8: root mean square .* times what it was"
    ):
        train(model, 3, 1e6, lr=0.0)
    assert {(alarm.kind, alarm.epoch, alarm.step) for alarm in tracker.alarms} == {("exploding", 3, 8)}
    tracker.update(3)
    issues = tracker.get_metrics()["gradient_issues"]
    assert issues["exploding_gradients"] == {"detected": True, "layers": ["0", "2"]}
    assert not issues["vanishing_gradients"]["detected"]
    rows = fedlayers.read(tracker.save()).records
    rows = rows[(rows["metric"] == "gradient_alarms") & (rows["subject"] == "exploding") & (rows["layer"] == "2")]
    assert dict(zip(rows["round"], rows["value"], strict=True)) == {1: 0.0, 2: 0.0, 3: 1.0}


def test_an_explosion_from_the_first_step_on_is_told(tmp_path: Path) -> None:
    model = chain(6, 5, 3)
    tracked(model, tmp_path, window=3)
    with pytest.warns(TrackingWarning, match="exploding: layer 2, step 1: root mean square of the gradient .*e\\+0"):
        train(model, 3, 1e6, lr=0.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_has_its_step(value: float, tmp_path: Path) -> None:
    model = chain(6, 5, 3)
    tracker = tracked(model, tmp_path, window=5)
    train(model, 2)
    with pytest.warns(
        TrackingWarning, match=r"not finite: layer 2, step 3: the gradient has NaN or infinity \(3 of 5 steps"
    ):
        train(model, 3, value, lr=0.0)
    tracker.update(epoch=1)
    found = tracker.get_metrics()["epochs"][0]["layers"]["2"]["gradient_norm"]
    assert (found["n"], found["not_finite"]) == (2, 3)


def test_dead_units_are_counted_and_told_if_they_are_most(tmp_path: Path) -> None:
    model = chain(6, 8, 3)
    model[0].bias.data[:2] = -100.0
    tracker = tracked(model, tmp_path, window=5)
    train(model, 5)
    tracker.update(1)
    assert tracker.history[1]["0"].dead_share.mean == pytest.approx(0.25)
    model[0].bias.data[:6] = -100.0
    with pytest.warns(
        TrackingWarning, match=r"dead units: layer 0, step 1: 75% of the units had no gradient at any look at them"
    ):
        train(model, 5)


def test_an_alarm_says_nothing_more_than_it_has_seen() -> None:
    norms = np.array([[1.0, 0.0], [1.0, 0.0]])
    window = Window([1, 2], norms.T.tolist(), [1, 1], [0.995, math.nan], [[False, False]] * 2)
    dead, vanished = alarms_in(window, [], ["a", "b"], None)
    assert (dead.value, vanished.value) == (0.995, 0.0)
    assert dead.what.startswith("99% of the units had") and vanished.what.startswith("every weight's gradient is 0")


def test_an_alarm_that_goes_on_is_told_once(tmp_path: Path) -> None:
    model = chain(6, 5, 3)
    tracker = tracked(model, tmp_path, window=2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(model, 20, 1e6, lr=0.0)
    assert len(told) == len({(alarm.kind, alarm.layer) for alarm in tracker.alarms}) == 2
    assert len(tracker.alarms) == 2 * 10


def test_frozen_sparse_half_and_unused_parameters(tmp_path: Path) -> None:
    model: Any = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Linear(4, 3), nn.Linear(3, 2).requires_grad_(False))
    model.add_module("unused", nn.Linear(2, 2))
    tracker = tracked(model, tmp_path)
    model[:3](torch.arange(6)).square().sum().backward()
    tracker.update(1)
    assert set(tracker.history[1]) == {"0", "1", "unused"}
    assert tracker.history[1]["unused"].norm.n == 0
    expected = float(model[0].weight.grad.to_dense().norm())
    assert tracker.history[1]["0"].norm.mean == pytest.approx(expected, rel=1e-5)
    small = nn.Linear(4, 2).to(torch.bfloat16)
    half = tracked(small, tmp_path / "half")
    small(torch.ones(3, 4, dtype=torch.bfloat16)).sum().backward()
    half.update(1)
    assert half.history[1]["(model)"].norm.n == 1 and half.problems == []


def test_without_hooks_or_gradients_it_says_what_to_call(tmp_path: Path) -> None:
    model = chain(6, 3)
    tracker = GradientTracker(model, tmp_path / "dynamics")
    with pytest.warns(TrackingWarning, match="no gradient was seen in epoch 1: call register_hooks before the forward"):
        tracker.update(epoch=1)
    with pytest.warns(TrackingWarning, match="there are no gradients to show yet: call register_hooks"):
        tracker.visualize()
    with tracker.hooks(), pytest.warns(TrackingWarning, match="registered already: call remove_hooks"):
        tracker.register_hooks()
    train(model, 1)
    assert tracker._step == 0
    with pytest.warns(TrackingWarning, match="no trainable parameters"):
        GradientTracker(nn.ReLU(), tmp_path / "dynamics").register_hooks()
    with pytest.raises(ValueError, match="window must be 1 step or more, got 0"):
        GradientTracker(model, tmp_path, window=0)


def test_training_and_copies_are_as_without(tmp_path: Path) -> None:
    plain, followed = TwoHeads(), TwoHeads()
    tracker = tracked(followed, tmp_path)
    for model in (plain, followed, copy.deepcopy(followed)):
        for _ in range(3):
            step(model)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), followed.parameters(), strict=True))
    tracker.update(1)
    assert tracker.history[1]["crop"].norm.n == 3


def test_a_failing_hook_does_not_stop_the_backward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain(6, 3)
    tracker = tracked(model, tmp_path)

    def fail(*_: object) -> None:
        raise RuntimeError("no memory\nleft")

    monkeypatch.setattr(tracker._norms, "measure", fail)
    with pytest.warns(
        TrackingWarning, match=r"_after_backward failed with RuntimeError \(no memory left\): this part is not"
    ):
        train(model, 2)
    assert isinstance(model[0].weight.grad, Tensor) and len(tracker.problems) == 1


def test_norms_are_without_the_factor_of_mixed_precision(tmp_path: Path) -> None:
    norms = []
    for scale in (1.0, 1024.0):
        torch.manual_seed(0)
        model = nn.Linear(6, 4)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale) if scale > 1 else None
        tracker = GradientTracker(model, tmp_path / str(scale), scaler=scaler)
        with tracker.hooks():
            train(model, 2, scale, lr=0.0)
            tracker.update(epoch=1)
        norms.append(tracker.history[1]["(model)"].norm.mean)
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


def test_what_becomes_trainable_or_takes_a_layers_place_is_followed_from_the_next_epoch_on(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    model[0].requires_grad_(False)
    tracker = GradientTracker(model, tmp_path)
    with tracker.hooks():
        train(model, 2)
        tracker.update(epoch=1)
        model[0].requires_grad_(True)
        model[2] = nn.Linear(8, 4)
        tracker.start_epoch(2)
        train(model, 3)
        tracker.update(epoch=2)
    seen = {epoch: {name: one.norm.n for name, one in layers.items()} for epoch, layers in tracker.history.items()}
    assert seen == {1: {"2": 2}, 2: {"0": 3, "2": 3}} and not tracker.problems
    assert list(tracker.weights[2]) == ["0", "2"]
    shown = tracker.draw()["weight_distribution"]()
    assert [text.get_text() for text in shown.legends[0].get_texts()] == ["before training", "epoch 1", "epoch 2"]


def test_a_compiled_models_layers_have_the_names_of_the_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    compiled: Any = torch.compile(model, backend="eager")
    tracker = GradientTracker(compiled, tmp_path)
    with tracker.hooks():
        train(model, 2)
        tracker.update(epoch=1)
    assert list(tracker.history[1]) == ["0", "2"]


@pytest.mark.parametrize(
    "change", [lambda w: w, lambda w: (w * 8).round() / 8, torch.ones_like], ids=["any", "few", "one"]
)
def test_weights_are_counted_as_torch_counts_them_and_those_that_are_no_numbers_apart(
    change: Callable[[Tensor], Tensor],
) -> None:
    layers = layers_of(nn.Sequential(nn.Linear(300, 40, bias=False)))
    weights = change(torch.randn(40, 300, generator=torch.Generator().manual_seed(3)) * 0.3)
    low, high = (float(end) for end in weights.aminmax())
    middle = 0.5 * (low == high)
    expected = torch.histc(weights, BINS, low - middle, high + middle).long().tolist()
    for strange in (0, 2):
        broken = torch.cat([weights.reshape(-1), torch.tensor([math.nan, math.inf])[:strange]])
        found = histograms_of({"0.weight": broken}, layers)["0"]
        assert found.counts.tolist() == expected and found.not_finite == strange and found.edges[0] == low - middle
    nothing = histograms_of({"0.weight": torch.full_like(weights, math.nan)}, layers, with_norms=False)["0"]
    assert nothing.not_finite == 12000 and not nothing.counts.any() and math.isnan(nothing.norm)
