"""Gradients, weights and updates of every layer in one client's local training, from looks at every k-th step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.records import Record, Row
from fedlayers.core.schedule import Step
from metrics.base import at
from metrics.tracking.follower import Followed, Follower, LocalTraining
from metrics.training_dynamics.gradients.alarms import Alarm, Window, alarms_in
from metrics.training_dynamics.gradients.epoch_statistics import LayerEpoch
from metrics.training_dynamics.gradients.rows import gradient_rows, histogram_row
from metrics.training_dynamics.gradients.stacked_looks import Seen, StackedLooks
from metrics.training_dynamics.gradients.weight_histograms import histograms_of

# Of the layers that one sentence names.
_MOST_NAMED = 4


class LayerLooks(Follower):
    """What looks at one client's steps, see :class:`StackedLooks`, come to by layer, and whether something is wrong.

    Args:
        layers: the model's layers.
        every: k, steps from one look to the next.
        window: looks in a window, which is then asked for alarms.
        training: what is looked at; of the run's first, middle and last round the distribution of its weights is kept.
    """

    def __init__(self, layers: Sequence[Layer], every: int, window: int, training: LocalTraining) -> None:
        self._training = training
        self.layers = [layer for layer in layers if layer.parameters]
        self.every, self.window = every, window
        self._place = {p.name: place for place, layer in enumerate(self.layers) for p in layer.parameters}
        self._size = {p.name: math.prod(p.shape) for layer in self.layers for p in layer.parameters}
        self._alone = StackedLooks(self.layers, every, window, [self.add])
        # Steps and epochs of the parts of the training before this one, and the last look of this one.
        self._steps_before = self._epochs_before = 0
        self._last = Step(0, 0, 1)
        self._medians: list[np.ndarray] = []
        self._sounding: set[tuple[str, str]] = set()
        self._alarms: list[Alarm] = []
        self._began: list[Alarm] = []
        self.statistics = {layer.name: LayerEpoch() for layer in self.layers}
        self._histograms = self._weights_now(step=0) if training.round == 1 else []

    @classmethod
    def together(cls, followers: "Sequence[LayerLooks]") -> StackedLooks:
        """Return what looks for several clients that train as one."""
        first = followers[0]
        for follower in followers:
            follower.begin()
        return StackedLooks(first.layers, first.every, first.window, [follower.add for follower in followers])

    def wants(self, step: Step) -> bool:
        """Say whether the step is looked at, or is the one before such a step."""
        return step.number % self.every <= 1

    def start(self, weights: Mapping[str, Tensor]) -> None:
        """Copy the weights."""
        self._alone.close()
        self.begin()
        self._alone.start({name: tensor.unsqueeze(0) for name, tensor in weights.items()})

    def begin(self) -> None:
        """Count from here the steps of another part of the training."""
        self._steps_before += self._last.last
        self._epochs_before += -(-self._last.last // self._last.per_epoch)
        self._last = Step(0, 0, 1)

    def look(self, step: Step, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """Measure the step, or copy the weights before the next one."""
        stacked = ({name: tensor.unsqueeze(0) for name, tensor in own.items()} for own in (weights, gradients))
        self._alone.look([step], slice(0, 1), *stacked)

    def finish(self) -> Followed:
        """Return norms, ratios, dead units and alarms by layer."""
        self._alone.close()
        rows = gradient_rows(self.layers, self.statistics, {}, self._alarms)
        layers = {layer.name: layer for layer in self.layers}
        rows += [_beginning(alarm, layers[alarm.layer]) for alarm in self._began]
        rows += self._histograms
        rows += self._weights_now() if self._training.is_landmark else []
        return Followed(rows, sentences(self._began))

    def _weights_now(self, step: int | None = None) -> list[Row]:
        known = {name: own for name, own in self._training.weights.items() if name in self._place}
        own = [layer for layer in self.layers if known.keys() & set(layer.names)]
        found = histograms_of(known, own, with_norms=False)
        return [histogram_row(found[layer.name], step=step, **at(layer)) for layer in own]

    def add(self, seen: Seen) -> None:
        """Add a window to the statistics, and look for alarms."""
        self._last = seen.steps[-1]
        window, weights, ratios = self._window(seen)
        of_weights, of_updates = weights.T.tolist(), ratios.T.tolist()
        for place, statistics in enumerate(self.statistics.values()):
            statistics.add(place, window, of_updates[place])
            statistics.weight_norm.add(of_weights[place])
        names = [layer.name for layer in self.layers]
        found = [self._in_epoch(alarm, seen.steps) for alarm in alarms_in(window, self._medians, names, None)]
        self._medians = [*self._medians[-99:], window.medians]
        self._began += [alarm for alarm in found if (alarm.kind, alarm.layer) not in self._sounding]
        self._sounding = {(alarm.kind, alarm.layer) for alarm in found}
        self._alarms += found

    def _window(self, seen: Seen) -> tuple[Window, np.ndarray, np.ndarray]:
        """Return the window, and by look and layer the norms of weights and the ratios of updates to them."""
        layers, owners = len(self.layers), [self._place[name] for name in seen.names]
        squares, is_absent = np.empty((3, len(seen.steps), layers)), np.ones((len(seen.steps), layers), bool)
        for look, (trained, norms) in enumerate(zip(seen.trained, seen.norms, strict=True)):
            own = [self._place[name] for name in trained]
            # Of updates, gradients and weights in one go: the places of the second and third are behind the first's.
            places = [*owners, *(layers + place for place in own), *(2 * layers + place for place in owners)]
            squares[:, look] = np.bincount(places, norms * norms, 3 * layers).reshape(3, layers)
            is_absent[look, own] = False
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.sqrt(squares[0] / squares[2])
        _, gradients, weights = np.sqrt(squares)
        gradients[is_absent] = ratios[is_absent] = np.nan
        numbers = [self._steps_before + step.number for step in seen.steps]
        window = Window(numbers, gradients, self._sizes(seen), self._dead(seen.still), is_absent)
        return window, weights, ratios

    def _sizes(self, seen: Seen) -> np.ndarray:
        """Return the number of weights of each layer that had a gradient in the window, 1 where none had."""
        counts = np.zeros(len(self.layers))
        for name in set().union(*seen.trained):
            counts[self._place[name]] += self._size[name]
        return np.maximum(counts, 1)

    def _dead(self, still: Mapping[str, float]) -> np.ndarray:
        """Return the share of each layer's units without any gradient in the window, NaN where it has no units."""
        shares: dict[int, list[float]] = {}
        for name, share in still.items():
            shares.setdefault(self._place[name], []).append(share)
        dead = np.full(len(self.layers), np.nan)
        for place, own in shares.items():
            dead[place] = sum(own) / len(own)
        return dead

    def _in_epoch(self, alarm: Alarm, steps: Sequence[Step]) -> Alarm:
        step = next(step for step in steps if self._steps_before + step.number == alarm.step)
        return replace(alarm, epoch=self._epochs_before + 1 + (step.number - 1) // step.per_epoch)


def _beginning(alarm: Alarm, layer: Layer) -> Row:
    """Return the row that says when an alarm began."""
    assert alarm.epoch is not None
    return Record("gradient_alarm_epoch", float(alarm.epoch), subject=alarm.kind, step=alarm.step, **at(layer))


def sentences(alarms: Sequence[Alarm]) -> list[str]:
    """Return alarms in words, those of a kind that began at one step as one sentence."""
    groups: dict[tuple[str, int], list[Alarm]] = {}
    for alarm in alarms:
        groups.setdefault((alarm.kind, alarm.step), []).append(alarm)
    found = []
    for (kind, step), own in groups.items():
        names = [alarm.layer for alarm in own]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        layers = f"layer{'s' if len(names) > 1 else ''} {', '.join(names[:_MOST_NAMED])}{more}"
        found.append(f"{kind.replace('_', ' ')}: {layers}, epoch {own[0].epoch}, step {step}: {own[0].what}")
    return found
