"""Gradients, weights and updates of every layer in one client's local training, from looks at every k-th step."""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

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
        # The weights as they were given, and stacked.
        self._given, self._as_one = list[Tensor](), dict[str, Tensor]()
        # Steps and epochs of the parts of the training before this one, and the last look of this one.
        self._steps_before = self._epochs_before = 0
        self._last = Step(0, 0, 1)
        self._medians: list[list[float]] = []
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
        self._alone.start(self._stacked(weights))

    def begin(self) -> None:
        """Count from here the steps of another part of the training."""
        self._steps_before += self._last.last
        self._epochs_before += -(-self._last.last // self._last.per_epoch)
        self._last = Step(0, 0, 1)

    def look(self, step: Step, weights: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> None:
        """Measure the step, or copy the weights before the next one."""
        # Only a look after such a step asks for gradients.
        seen = gradients if (step.number - 1) % self.every == 0 else {}
        own = {name: tensor.unsqueeze(0) for name, tensor in seen.items()}
        self._alone.look([step], slice(0, 1), self._stacked(weights), own)

    def _stacked(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return weights as those of the only client there is; they change in place, and are the same at every look."""
        if not all(map(operator.is_, weights.values(), self._given)) or len(weights) != len(self._given):
            self._given = list(weights.values())
            self._as_one = {name: tensor.unsqueeze(0) for name, tensor in weights.items()}
        return self._as_one

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
        for place, statistics in enumerate(self.statistics.values()):
            statistics.add(place, window, ratios[place])
            statistics.weight_norm.add(weights[place])
        names = [layer.name for layer in self.layers]
        found = [self._in_epoch(alarm, seen.steps) for alarm in alarms_in(window, self._medians, names, None)]
        self._medians = [*self._medians[-99:], window.medians]
        self._began += [alarm for alarm in found if (alarm.kind, alarm.layer) not in self._sounding]
        self._sounding = {(alarm.kind, alarm.layer) for alarm in found}
        self._alarms += found

    def _window(self, seen: Seen) -> tuple[Window, list[list[float]], list[list[float]]]:
        """Return the window, and by layer and look the norms of weights and the ratios of updates to them."""
        owners = [self._place[name] for name in seen.names]
        norms, weights, ratios, is_absent = ([list[Any]() for _ in self.layers] for _ in range(4))
        for trained, found in zip(seen.trained, seen.norms, strict=True):
            own = [self._place[name] for name in trained]
            squares = [[0.0] * len(self.layers) for _ in range(3)]
            # Of updates, gradients and weights; of a layer in the order of its weights.
            norm_of = iter(found)
            for sums, of in zip(squares, (owners, own, owners), strict=True):
                for place, norm in zip(of, norm_of, strict=False):
                    sums[place] += norm * norm
            there = {*own}
            for place, (update, gradient, weight) in enumerate(zip(*squares, strict=True)):
                weights[place].append(math.sqrt(weight))
                is_absent[place].append(place not in there)
                norms[place].append(math.sqrt(gradient) if place in there else math.nan)
                ratios[place].append(_root_of_ratio(update, weight) if place in there else math.nan)
        numbers = [self._steps_before + step.number for step in seen.steps]
        return Window(numbers, norms, self._sizes(seen), self._dead(seen.still), is_absent), weights, ratios

    def _sizes(self, seen: Seen) -> list[int]:
        """Return the number of weights of each layer that had a gradient in the window, 1 where none had."""
        counts = [0] * len(self.layers)
        for name in set().union(*seen.trained):
            counts[self._place[name]] += self._size[name]
        return [max(count, 1) for count in counts]

    def _dead(self, still: Mapping[str, float]) -> list[float]:
        """Return the share of each layer's units without any gradient in the window, NaN where it has no units."""
        shares: dict[int, list[float]] = {}
        for name, share in still.items():
            shares.setdefault(self._place[name], []).append(share)
        dead = [math.nan] * len(self.layers)
        for place, own in shares.items():
            dead[place] = sum(own) / len(own)
        return dead

    def _in_epoch(self, alarm: Alarm, steps: Sequence[Step]) -> Alarm:
        step = next(step for step in steps if self._steps_before + step.number == alarm.step)
        return replace(alarm, epoch=self._epochs_before + 1 + (step.number - 1) // step.per_epoch)


def _root_of_ratio(one: float, other: float) -> float:
    """Return √(one / other) of two squares, as numpy does where the second is 0."""
    return math.sqrt(one / other) if other else math.inf if one > 0 else math.nan


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
