"""Times with nesting and order, memory, operations, and memory against batch size."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import fedlayers
from fedlayers.core.machine.devices import prepare_process
from fedlayers.models.vision_transformer import VisionTransformer
from metrics.resource_usage import ResourceMonitor, forward_flops, sweep_batch_sizes
from metrics.resource_usage import batch_sweep as sweeping
from metrics.resource_usage.clocks import EventClock, HostClock, clock_of
from metrics.resource_usage.components import Components
from metrics.resource_usage.power import Power
from metrics.tracking.isolation import TrackingWarning
from tests.support.tracked_training import TwoHeads


class Ticks:
    """A clock on which every mark is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def mark(self) -> float:
        self.now += 1
        return self.now

    def between(self, first: float, second: float) -> float:
        return second - first

    def settle(self) -> None:
        pass


@pytest.fixture
def monitor(tmp_path: Path) -> ResourceMonitor:
    return ResourceMonitor(tmp_path / "resource_usage")


def test_a_component_has_its_time_with_and_without_what_is_inside_it() -> None:
    parts = Components(Ticks())
    parts.start("backward")  # 1
    for _ in range(2):
        parts.start("reduce")  # 2, 4
        parts.end()  # 3, 5
    parts.end()  # 6
    found = parts.settle()
    assert {name: (one.seconds, one.own_seconds, one.calls) for name, one in found.items()} == {
        "backward/reduce": (2.0, 2.0, 2),
        "backward": (5.0, 3.0, 1),
    }


def test_components_and_the_rest_sum_to_the_epoch_and_validation_is_no_training(monitor: ResourceMonitor) -> None:
    with monitor.epoch(1, batch_size=4, num_samples=100):
        with monitor.component("forward"), monitor.component("inner"):
            monitor.update_batch(0)
        with monitor.component("validation"):
            sum(range(200_000))
    (epoch,) = monitor.epochs
    assert list(epoch.components) == ["forward/inner", "forward", "validation", "other"]
    assert sum(one.own_seconds for one in epoch.components.values()) == pytest.approx(epoch.time)
    assert epoch.training_time == pytest.approx(epoch.time - epoch.components["validation"].seconds)
    assert epoch.throughput == pytest.approx(100 / epoch.training_time)
    assert epoch.peak_host >= epoch.memory.host > 0 and epoch.memory.peak_allocated is None
    tables = fedlayers.read(monitor.save())
    spent = tables.resources[tables.resources["metric"] == "component_s"].set_index("subject")["value"]
    assert spent["forward"] == pytest.approx(epoch.components["forward"].seconds)
    found = monitor.get_metrics()
    assert found["epoch_data"][0]["memory"]["host"] > 1 and found["component_data"]["forward"][0]["calls"] == 1


def test_calls_out_of_order_say_what_to_call_and_lose_nothing(monitor: ResourceMonitor) -> None:
    with pytest.warns(
        TrackingWarning, match=r"start_component\('a'\) outside of an epoch is not timed: call start_epoch"
    ):
        monitor.start_component("a")
    with pytest.warns(
        TrackingWarning, match=r"end_epoch was called without an epoch: call start_epoch\(epoch\) before"
    ):
        monitor.end_epoch()
    with pytest.warns(TrackingWarning, match="there are no resources to show yet"):
        monitor.visualize()
    monitor.start_epoch(1)
    with pytest.warns(
        TrackingWarning, match=r"component b was ended but not started: call start_component\('b'\) before"
    ):
        monitor.end_component("b")
    monitor.start_component("a")
    with pytest.warns(TrackingWarning, match=r"component a was started again before end_component\('a'\)"):
        monitor.start_component("a")
    monitor.start_component("b")
    with pytest.warns(
        TrackingWarning, match=r"component a was ended before b inside it: call end_component\('b'\) first"
    ):
        monitor.end_component("a")
    monitor.start_component("c")
    with pytest.warns(TrackingWarning, match=r"epoch 1 was not ended before epoch 2: call end_epoch") as told:
        monitor.start_epoch(2)
    assert any("component c was not ended in epoch 1" in str(one.message) for one in told)
    monitor.end_epoch()
    first, second = monitor.epochs
    assert {name: one.calls for name, one in first.components.items()} == {"a": 2, "a/b": 1, "c": 1, "other": 1}
    assert second.components == {} and second.throughput is None


class FakeCuda:
    """Events that happen when the device has done what it was given, as those of CUDA."""

    def __init__(self) -> None:
        self.device_ms, self.waits = 0.0, 0

    def Event(self, enable_timing: bool) -> Any:  # noqa: N802
        assert enable_timing
        event = SimpleNamespace(at=0.0)
        event.record = lambda stream: setattr(event, "at", self.device_ms)
        event.synchronize = lambda: None
        event.elapsed_time = lambda other: other.at - event.at
        return event

    def current_stream(self, device: torch.device) -> str:
        return "stream"

    def synchronize(self, device: torch.device) -> None:
        self.waits += 1


def test_on_a_gpu_the_times_are_the_devices_and_no_component_waits() -> None:
    cuda = FakeCuda()
    clock = EventClock(torch.device("cuda:0"), cuda)
    parts = Components(clock)
    for _ in range(3):
        parts.start("forward")
        cuda.device_ms += 500
        parts.end()
    assert cuda.waits == 0
    assert parts.settle()["forward"].seconds == pytest.approx(1.5)
    clock.settle()
    assert cuda.waits == 1
    assert isinstance(clock_of(torch.device("cuda")), EventClock) and isinstance(
        clock_of(torch.device("cpu")), HostClock
    )


def test_a_device_without_events_is_waited_for() -> None:
    waits: list[int] = []
    clock = HostClock(lambda: waits.append(1))
    clock.between(clock.mark(), clock.mark())
    assert len(waits) == 2


def test_operations_by_layer_of_linear_convolution_and_attention(monitor: ResourceMonitor) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(256, 5)
    )
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    found = forward_flops(model, torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    conv, linear = 2 * 2 * 64 * 4 * 27, 2 * 2 * 256 * 5
    assert found == {"(model)": conv + linear, "0": conv, "4": linear}
    assert model.training and torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    monitor.count_flops(TwoHeads(), torch.zeros(3, 4, 8))
    assert monitor.flops["crop"] == 2 * 8 * 5 and monitor.flops["encoder.layers.0.self_attn"] > 0
    with pytest.warns(TrackingWarning, match="count_flops failed with RuntimeError"):
        monitor.count_flops(model, torch.zeros(2, 7))
    assert model.training


def test_operations_of_attention_are_its_products_whatever_kernel_takes_them() -> None:
    tokens, width = 4, 32
    projections, products = 4 * 2 * tokens * width * width, 2 * 2 * tokens * tokens * width
    attention = nn.MultiheadAttention(width, 4, batch_first=True)
    x = torch.zeros(1, tokens, width)
    for is_asked in (True, False):
        assert forward_flops(attention, x, x, x, need_weights=is_asked)["(model)"] == projections + products == 34_816
    model = VisionTransformer((1, 8, 8), 3)
    assert forward_flops(model, torch.zeros(1, 1, 8, 8))["blocks.0.attention"] == 34_816


def test_a_sweep_measures_until_the_next_size_might_not_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[int] = []
    monkeypatch.setattr(sweeping, "_peak_of", lambda step, size, device: step(size) or 100 + 10 * size)
    found = sweep_batch_sizes(ran.append, [1, 2, 4, 8, 16], limit_bytes=190)
    assert ran == [1, 2, 4, 8]
    assert [one.peak_bytes for one in found] == [110, 120, 140, 180, None]
    assert found[-1].batch_size == 16 and "expected, above the limit" in str(found[-1].reason)

    def fails(size: int) -> None:
        if size > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")

    found = sweep_batch_sizes(fails, [1, 2, 4, 8], limit_bytes=10**9)
    assert [(one.batch_size, one.reason) for one in found] == [(1, None), (2, None), (4, "out of memory")]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        sweep_batch_sizes(lambda size: torch.zeros(size, 2) @ torch.zeros(3, 1), [1])
    with pytest.raises(ValueError, match=r"sizes must be 1 or more and rise, got \[2, 1\]"):
        sweep_batch_sizes(fails, [2, 1])
    with pytest.raises(ValueError, match="limit_bytes must be positive, got 0"):
        sweep_batch_sizes(fails, [1], limit_bytes=0)


@pytest.mark.parametrize("counted_by", ["the system", "looking", "looking, as the order did nothing"])
def test_a_sweep_sees_what_a_step_takes_of_this_process(
    counted_by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also of a process that keeps what it has freed, as where runs are, and whose count cannot be set back."""
    prepare_process(deterministic=False)
    freed = [torch.zeros(20, 250_000).add_(1.0) for _ in range(25)]
    freed.clear()
    if counted_by != "the system":
        monkeypatch.setattr(
            sweeping, "_CLEAR", tmp_path / ("no_such/file" if counted_by == "looking" else "clear_refs")
        )

    def step(size: int) -> None:
        held = torch.zeros(size, 250_000).add_(1.0)
        time.sleep(0.1)
        assert held[-1, -1] == 1

    first, second, third = (one.peak_bytes or 0 for one in sweep_batch_sizes(step, [1, 64, 128], limit_bytes=10**12))
    # 64 MB more each time, within what else the process does.
    assert 40e6 < second - first < 100e6 and 40e6 < third - second < 100e6


def test_energy_is_read_where_there_is_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    power = Power(torch.device("cpu"))
    assert power.energy_j() is None and power.utilisation() is None and "this is cpu" in str(power.reason)
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: 2500,
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=40),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid="12ab"))
    power = Power(torch.device("cuda:0"))
    assert (power.energy_j(), power.utilisation(), power.reason) == (2.5, 0.4, None)
    monkeypatch.setattr(nvml, "nvmlDeviceGetTotalEnergyConsumption", lambda handle: 1 / 0)
    assert power.energy_j() is None and "nvmlDeviceGetTotalEnergyConsumption failed" in str(power.reason)
