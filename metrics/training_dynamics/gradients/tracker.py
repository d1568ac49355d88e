"""``GradientTracker``: gradient and weight norms of every layer, and alarms, while a model trains."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from fedlayers.core.layers import layers_of
from fedlayers.core.quantities import Facts
from fedlayers.core.records import Row
from metrics.tracking.arguments import epoch_number, module_given
from metrics.tracking.blocks import Hooked
from metrics.tracking.isolation import TrackingMistake, isolated, tell
from metrics.tracking.tracker import Tracker
from metrics.training_dynamics.gradients import figures
from metrics.training_dynamics.gradients.alarms import Alarm, alarms_in
from metrics.training_dynamics.gradients.epoch_statistics import LayerEpoch
from metrics.training_dynamics.gradients.rows import FACTS, gradient_rows
from metrics.training_dynamics.gradients.step_norms import StepNorms
from metrics.training_dynamics.gradients.weight_histograms import WeightHistogram, histograms_of

# The weights before the first epoch.
START = 0
_MOST_ALARMS = 1000


class Scaler(Protocol):
    """What a tracker asks of a ``torch.amp.GradScaler``."""

    def get_scale(self) -> float:
        """Return the factor of the loss."""
        ...


class GradientTracker(Hooked, Tracker):
    """Measures every backward pass between :meth:`register_hooks` and :meth:`remove_hooks`.

    Nothing waits for the device within a window of steps: a window's norms are read at once, and then alarms are told.
    What is measured is ``.grad`` as a backward pass leaves it, so before clipping, and scaled where a scaler scales
    the loss. A step is a backward pass, here and in alarms: in a loop that accumulates gradients over k batches there
    are k steps an update, whose gradients grow from the first to the k-th, and ``clip_grad_norm_`` is not seen.

    Args:
        model: the model that trains; its trainable parameters, by layer.
        save_dir: the folder for figures and files.
        track_weights: whether histograms of the weights are taken at the end of each epoch.
        window: steps in a window.
        scaler: the ``torch.amp.GradScaler`` that multiplies the loss, if one does: norms are those without its factor.
    """

    facts: ClassVar[tuple[Facts, ...]] = FACTS
    file: ClassVar[str] = "gradient_metrics.json"

    def __init__(
        self,
        model: nn.Module,
        save_dir: str | Path = "visualizations/training_dynamics",
        track_weights: bool = True,
        window: int = 50,
        scaler: Scaler | None = None,
    ) -> None:
        if window < 1:
            raise ValueError(f"window must be 1 step or more, got {window}")
        model = module_given(model)
        super().__init__(save_dir)
        self._model, self._track_weights, self._size, self.scaler = model, track_weights, window, scaler
        self.layers = layers_of(model)
        self._handles: list[RemovableHandle] = []
        self._norms: StepNorms | None = None
        self._fired: list[str] = []
        self._epoch: int | None = None
        self._step = 0
        self._now: dict[str, LayerEpoch] = {}
        self._medians: list[list[float]] = []
        self._sounding: set[tuple[str, str]] = set()
        self.alarms: list[Alarm] = []
        self.history: dict[int, dict[str, LayerEpoch]] = {}
        self.weights: dict[int, dict[str, WeightHistogram]] = {}

    @isolated
    def register_hooks(self) -> None:
        """Begin to measure: call it before the first forward pass."""
        if self._handles:
            raise TrackingMistake("hooks are registered already: call remove_hooks before register_hooks again")
        trainable = {name: tensor for name, tensor in self._model.named_parameters() if tensor.requires_grad}
        if not trainable:
            raise TrackingMistake(
                "the model has no trainable parameters: nothing to track before some require gradients"
            )
        self._listen(trainable)
        if self._track_weights and not self.weights and self._norms is not None:
            self.weights[START] = histograms_of(trainable, self._norms.layers)

    @isolated
    def remove_hooks(self) -> None:
        """Stop measuring; what was measured stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _listen(self, trainable: Mapping[str, nn.Parameter]) -> None:
        self._norms = StepNorms(trainable, self.layers, self._size)
        for name, tensor in trainable.items():
            hook = partial(self._note, name)
            self._handles.append(tensor.register_post_accumulate_grad_hook(hook))  # type: ignore[no-untyped-call]

    def _follow_changes(self) -> None:
        """Between two epochs, listen to what has become trainable or took a layer's place, and to nothing else."""
        now = {name: tensor for name, tensor in self._model.named_parameters() if tensor.requires_grad}
        known = {} if self._norms is None else self._norms.parameters
        same = now.keys() == known.keys() and all(now[name] is known[name] for name in now)
        if self._handles and now and not same:
            self._close_window()
            self.remove_hooks()
            self.layers, self._medians, self._sounding = layers_of(self._model), [], set()
            self._listen(now)

    def _note(self, name: str, _: torch.Tensor) -> None:
        """Remember that a parameter has got its gradient; the first of a backward pass asks to be called at its end."""
        if not self._fired:
            engine: Any = torch.autograd.Variable._execution_engine
            engine.queue_callback(self._after_backward)
        self._fired.append(name)

    @isolated
    def _after_backward(self) -> None:
        names, self._fired = self._fired, []
        if self._norms is None:
            return
        self._step += 1
        # It waits for the device, as the scaler's own step does.
        scale = 1.0 if self.scaler is None else float(self.scaler.get_scale())
        with torch.no_grad():
            self._norms.measure(self._step, names, scale)
        if self._norms.is_full:
            self._close_window()

    def _close_window(self) -> None:
        taken = None if self._norms is None else self._norms.take()
        if taken is None or self._norms is None:
            return
        window, ratios = taken
        names = [layer.name for layer in self._norms.layers]
        for at, name in enumerate(names):
            self._now.setdefault(name, LayerEpoch()).add(at, window, [float(ratios[at])])
        found = alarms_in(window, self._medians, names, self._epoch)
        self._medians = [*self._medians[-99:], window.medians]
        for alarm in found:
            if (alarm.kind, alarm.layer) not in self._sounding:
                tell(self, alarm.text)
        self._sounding = {(alarm.kind, alarm.layer) for alarm in found}
        self.alarms = [*self.alarms, *found][:_MOST_ALARMS]

    @isolated
    def start_epoch(self, epoch: int) -> None:
        """Say which epoch the coming steps belong to; :meth:`update` says it afterwards, too."""
        epoch = epoch_number(epoch)
        self._close_window()
        self._follow_changes()
        self._epoch, self._step, self._now = epoch, 0, {}

    @isolated
    def update(self, epoch: int | None = None, batch: int | None = None) -> None:
        """Turn what was measured into an epoch's statistics and look at the weights.

        Args:
            epoch: its number; that of ``start_epoch``, or the next one, if it is not given.
            batch: a batch within the epoch: then only its number is noted, and the epoch goes on.
        """
        number = epoch_number(epoch) if epoch is not None else self._epoch
        number = 1 + max(self.history, default=0) if number is None else number
        if batch is not None:
            self._epoch = number
            return
        if self._epoch is None:
            self._epoch = number
        self._close_window()
        if not self._now:
            raise TrackingMistake(
                f"no gradient was seen in epoch {number}: call register_hooks before the forward pass, loss.backward() "
                "before update, both on the model that was given to the tracker"
            )
        self.history[number], self._now, self._step, self._epoch = self._now, {}, 0, None
        if self._track_weights and self._norms is not None:
            self.weights[number] = histograms_of(self._norms.parameters, self._norms.layers)
        self._rows[number] = self._as_rows(number)
        self._follow_changes()

    def _as_rows(self, number: int) -> list[Row]:
        alarms = [alarm for alarm in self.alarms if alarm.epoch == number]
        return gradient_rows(self.layers, self.history[number], self.weights.get(number, {}), alarms)

    def content(self) -> dict[str, Any]:
        """Return ``gradient_issues``, the alarms, and norms, ratios and weight histograms of every epoch and layer."""
        issues = {
            f"{kind}_gradients": {
                "detected": any(alarm.kind == kind for alarm in self.alarms),
                "layers": sorted({alarm.layer for alarm in self.alarms if alarm.kind == kind}),
            }
            for kind in ("vanishing", "exploding", "not_finite")
        }
        dead = sorted({alarm.layer for alarm in self.alarms if alarm.kind == "dead_units"})
        return {
            "gradient_issues": {**issues, "dead_units": {"detected": bool(dead), "layers": dead}},
            "alarms": [asdict(alarm) for alarm in self.alarms],
            "layers": [layer.name for layer in self.layers],
            "epochs": [
                {"epoch": epoch, "layers": {name: _as_dictionary(one) for name, one in layers.items()}}
                for epoch, layers in sorted(self.history.items())
            ],
            "weights": [
                {"epoch": epoch, "layers": {name: asdict(one) for name, one in layers.items()}}
                for epoch, layers in sorted(self.weights.items())
            ],
        }

    def draw(self) -> dict[str, Callable[[], Any]]:
        """Return the figures that can be drawn: gradient flow, norms, ratios, weights over time, depth."""
        found: dict[str, Callable[[], Any]] = {}
        if self.history:
            found["gradient_flow"] = partial(figures.gradient_flow, self.history)
            found["gradient_correlation"] = partial(figures.gradient_by_depth, self.history)
            if any(one.update_ratio.n for layers in self.history.values() for one in layers.values()):
                found["update_ratio"] = partial(figures.update_ratios, self.history)
        if self.weights:
            found["weight_distribution"] = partial(figures.weight_distributions, self.weights)
            found["weight_norm_changes"] = partial(figures.weight_norms, self.weights)
        return found

    @isolated
    def visualize(self) -> list[Path]:
        """Draw the figures into ``save_dir``, write tables and JSON beside them, and return the figures' files."""
        if not self.history:
            raise TrackingMistake("there are no gradients to show yet: call register_hooks, train, and update(epoch=…)")
        return self.write_all()


def _as_dictionary(one: LayerEpoch) -> dict[str, Any]:
    return {
        "gradient_norm": one.norm.as_dictionary(),
        "gradient_rms": one.rms.as_dictionary(),
        "update_ratio": one.update_ratio.as_dictionary(),
        "dead_unit_share": one.dead_share.as_dictionary(),
        "steps": [step for step, _ in one.curve],
        "norms": [norm for _, norm in one.curve],
    }
