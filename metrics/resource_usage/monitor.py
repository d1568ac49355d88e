"""``ResourceMonitor``: what each epoch takes of time, memory, operations and energy."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from fedlayers.core.layers import layers_of
from fedlayers.core.quantities import Facts
from metrics.resource_usage import figures
from metrics.resource_usage.batch_sweep import BatchMemory
from metrics.resource_usage.clocks import Clock, clock_of
from metrics.resource_usage.components import Components, ComponentTime
from metrics.resource_usage.flops import flops_per_example
from metrics.resource_usage.memory import MemoryNow, forget_peaks, host_bytes, memory_now
from metrics.resource_usage.power import Power
from metrics.resource_usage.rows import resource_rows
from metrics.tracking.arguments import epoch_number, number_of_examples
from metrics.tracking.blocks import Timed
from metrics.tracking.isolation import TrackingMistake, isolated, tell
from metrics.tracking.tracker import Tracker

# Components that are no training: throughput is of the rest.
NOT_TRAINING = ("validation", "evaluation")
# How often memory and utilisation are looked at while an epoch runs.
_LOOK_S = 0.2


@dataclass
class EpochResources:
    """What an epoch took.

    Attributes:
        epoch: its number.
        time: seconds of wall time, the device's work included.
        training_time: the same without validation.
        components: name -> its times; outside of all of them is ``other``.
        memory: at the end.
        memory_change: MB on the GPU since the start, allocated and reserved; None without a GPU.
        peak_host: the highest resident memory seen, in bytes.
        batch_size, num_samples: as they were told.
        throughput: examples a second of training; None if their number was not told.
        energy_j: joules of the GPU; None where it is not counted.
        gpu_utilisation: mean share of time in which a kernel ran; None where it is not counted.
    """

    epoch: int
    time: float
    training_time: float
    components: dict[str, ComponentTime]
    memory: MemoryNow
    memory_change: dict[str, float] | None
    peak_host: int
    batch_size: int | None = None
    num_samples: int | None = None
    throughput: float | None = None
    energy_j: float | None = None
    gpu_utilisation: float | None = None


@dataclass
class _Running:
    epoch: int
    start: Any
    began: float
    components: Components
    memory: MemoryNow
    energy_j: float | None
    peak_host: int
    looked: float = 0.0
    utilisation: list[float] = field(default_factory=list)


class ResourceMonitor(Timed, Tracker):
    """Times epochs and components without waiting for the device before an epoch's end.

    Args:
        save_dir: the folder for figures and files.
        device: where the model is; None for the current GPU if this process uses one, else the CPU.
    """

    facts: ClassVar[tuple[Facts, ...]] = ()
    file: ClassVar[str] = "resource_metrics.json"

    def __init__(
        self, save_dir: str | Path = "visualizations/resource_usage", device: torch.device | str | None = None
    ) -> None:
        super().__init__(save_dir)
        self._asked = None if device is None else torch.device(device)
        self._clock: Clock | None = None
        self._device = torch.device("cpu")
        self._power: Power | None = None
        self._now: _Running | None = None
        self.epochs: list[EpochResources] = []
        self.flops: dict[str, float] = {}
        self.sweep: list[BatchMemory] = []

    def _prepare(self) -> Clock:
        """Return the clock of the device, which is looked for when the first epoch starts."""
        if self._clock is None:
            uses_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
            self._device = self._asked or torch.device("cuda" if uses_gpu else "cpu")
            self._clock, self._power = clock_of(self._device), Power(self._device)
        return self._clock

    @isolated
    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        epoch = epoch_number(epoch)
        if self._now is not None:
            tell(self, f"epoch {self._now.epoch} was not ended before epoch {epoch}: call end_epoch (it ends here)")
            self._finish(None, None)
        clock = self._prepare()
        clock.settle()
        forget_peaks(self._device)
        memory = memory_now(self._device)
        energy = self._power.energy_j() if self._power else None
        start = clock.mark()
        self._now = _Running(epoch, start, time.perf_counter(), Components(clock), memory, energy, memory.host)

    @isolated
    def start_component(self, name: str) -> None:
        """Begin a part of the epoch, inside the part that is under way."""
        now = self._under_way(f"start_component({name!r})")
        if not isinstance(name, str) or not name:
            raise TrackingMistake(
                f"a component has a name in words, got {name!r}: call start_component('forward_pass')"
            )
        if name in now.components.names:
            tell(self, f"component {name} was started again before end_component({name!r}): the first one ends here")
            self._end(now, name)
        now.components.start(name)

    @isolated
    def end_component(self, name: str) -> None:
        """End a part of the epoch, and those inside it that are still under way."""
        now = self._under_way(f"end_component({name!r})")
        if name not in now.components.names:
            raise TrackingMistake(f"component {name} was ended but not started: call start_component({name!r}) before")
        if (inner := now.components.innermost) != name:
            tell(self, f"component {name} was ended before {inner} inside it: call end_component({inner!r}) first")
        self._end(now, name)
        self._look(now)

    def _end(self, now: _Running, name: str) -> None:
        while name in now.components.names:
            now.components.end()

    def _under_way(self, call: str) -> _Running:
        if self._now is None:
            raise TrackingMistake(f"{call} outside of an epoch is not timed: call start_epoch(epoch) before")
        return self._now

    @isolated
    def update_batch(self, batch: int) -> None:
        """Look at memory and utilisation; cheap, and most calls do nothing."""
        if self._now is not None:
            self._look(self._now)

    def _look(self, now: _Running) -> None:
        moment = time.perf_counter()
        if moment - now.looked < _LOOK_S:
            return
        now.looked = moment
        now.peak_host = max(now.peak_host, host_bytes())
        used = self._power.utilisation() if self._power else None
        if used is not None:
            now.utilisation.append(used)

    @isolated
    def end_epoch(self, batch_size: int | None = None, num_samples: int | None = None) -> None:
        """End an epoch.

        Args:
            batch_size: examples a step.
            num_samples: examples of the epoch's training, for the throughput.
        """
        if self._now is None:
            raise TrackingMistake("end_epoch was called without an epoch: call start_epoch(epoch) before")
        self._finish(batch_size, num_samples)

    def _finish(self, batch_size: int | None, num_samples: int | None) -> None:
        now, self._now = self._now, None
        if now is None:
            return
        batch_size = number_of_examples(self, "batch_size", batch_size)
        num_samples = number_of_examples(self, "num_samples", num_samples)
        for name in reversed(now.components.names):
            tell(
                self,
                f"component {name} was not ended in epoch {now.epoch}: call end_component({name!r}) (it ends here)",
            )
            self._end(now, name)
        clock = self._prepare()
        end = clock.mark()
        clock.settle()
        wall = time.perf_counter() - now.began
        whole = max(clock.between(now.start, end), wall) if self._device.type == "cuda" else wall
        times = now.components.settle()
        outside = sum(one.seconds for path, one in times.items() if "/" not in path)
        other = {"other": ComponentTime(max(whole - outside, 0.0), max(whole - outside, 0.0), 1)} if times else {}
        training = whole - sum(one.seconds for path, one in times.items() if path in NOT_TRAINING)
        memory = memory_now(self._device)
        found = EpochResources(now.epoch, whole, training, {**times, **other}, memory, _change(now.memory, memory),
                               max(now.peak_host, memory.host), batch_size, num_samples)  # fmt: skip
        if num_samples and training > 0:
            found.throughput = num_samples / training
        if self._power is not None and now.energy_j is not None and (used := self._power.energy_j()) is not None:
            found.energy_j = used - now.energy_j
        found.gpu_utilisation = sum(now.utilisation) / len(now.utilisation) if now.utilisation else None
        self.epochs.append(found)
        self._rows[now.epoch] = resource_rows(found, self.flops, [layer.name for layer in self.layers])

    @isolated
    def count_flops(self, model: nn.Module, *inputs: Any, **keywords: Any) -> None:
        """Count the operations of a forward pass of one example, by layer: those of these inputs by their number."""
        if not isinstance(model, nn.Module):
            raise TrackingMistake(
                f"count_flops needs a module and inputs of its forward pass, got {model!r}: give both"
            )
        self.layers = self.layers or layers_of(model)
        self.flops = flops_per_example(model, *inputs, **keywords)

    @isolated
    def add_sweep(self, sweep: list[BatchMemory]) -> None:
        """Keep what :func:`metrics.resource_usage.batch_sweep.sweep_batch_sizes` measured, for figure and files."""
        if not isinstance(sweep, Sequence) or not all(isinstance(one, BatchMemory) for one in sweep):
            raise TrackingMistake(
                "add_sweep needs what sweep_batch_sizes(step) returned: call that before, and give it"
            )
        self.sweep = list(sweep)

    def content(self) -> dict[str, Any]:
        """Return ``epoch_data``, ``component_data``, operations of an example by module, memory by batch size."""
        component_data: dict[str, list[dict[str, Any]]] = {}
        for one in self.epochs:
            for name, spent in one.components.items():
                component_data.setdefault(name, []).append({"epoch": one.epoch, "time": spent.seconds, **asdict(spent)})
        return {
            "device": str(self._device),
            "epoch_data": [_as_dictionary(one) for one in self.epochs],
            "component_data": component_data,
            "forward_flops_of_one_example": self.flops,
            "memory_by_batch_size": [asdict(one) for one in self.sweep],
            "energy": self._power.reason if self._power else None,
        }

    def draw(self) -> dict[str, Callable[[], Any]]:
        """Return the figures that can be drawn: memory, component times and shares, throughput, batch sizes, FLOPs."""
        found: dict[str, Callable[[], Any]] = {}
        if self.epochs:
            found["memory_usage"] = partial(figures.memory_usage, self.epochs)
        if any(one.components for one in self.epochs):
            found["component_times"] = partial(figures.component_times, self.epochs)
            found["component_pie_chart"] = partial(figures.component_shares, self.epochs)
        if any(one.throughput for one in self.epochs):
            found["throughput"] = partial(figures.throughput, self.epochs)
        if self.sweep:
            found["memory_vs_batch_size"] = partial(figures.memory_by_batch_size, self.sweep)
        if names := [layer.name for layer in self.layers if layer.name in self.flops]:
            found["forward_flops"] = partial(figures.flops_by_layer, {name: self.flops[name] for name in names})
        return found

    @isolated
    def visualize(self) -> list[Path]:
        """Draw the figures into ``save_dir``, write tables and JSON beside them, and return the figures' files."""
        if not self.epochs and not self.sweep:
            raise TrackingMistake("there are no resources to show yet: call start_epoch(epoch) and end_epoch()")
        return self.write_all()

    @contextmanager
    def epoch(self, epoch: int, batch_size: int | None = None, num_samples: int | None = None) -> Iterator[None]:
        """Time an epoch in a block of code."""
        self.start_epoch(epoch)
        try:
            yield
        finally:
            self.end_epoch(batch_size, num_samples)


def _change(before: MemoryNow, after: MemoryNow) -> dict[str, float] | None:
    if before.allocated is None or after.allocated is None:
        return None
    reserved = (after.reserved or 0) - (before.reserved or 0)
    return {"allocated": (after.allocated - before.allocated) / 1e6, "reserved": reserved / 1e6}


def _as_dictionary(one: EpochResources) -> dict[str, Any]:
    memory = {key: None if value is None else value / 1e6 for key, value in asdict(one.memory).items()}
    return {
        **{key: value for key, value in asdict(one).items() if key not in ("components", "memory", "peak_host")},
        "memory": {**memory, "peak_host": one.peak_host / 1e6},
    }
