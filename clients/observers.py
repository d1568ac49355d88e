"""Observers: what looks on while a client trains, and changes nothing; free when nobody listens."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clients.network import Weights
from fedlayers.config.schema.training import Length
from fedlayers.core.schedule import Step


@dataclass(frozen=True, slots=True)
class View:
    """What an observer may read, and leaves as it is. The next step changes the tensors: copy what is to be kept.

    Attributes:
        step: the place in this local training; its number is 0 at the start.
        weights: name -> the weights as they are now, as the learner names them.
        gradients: name -> the gradients that the optimizer took its last step along, adjusted and clipped; empty at
            the start.
        loss: the mean loss of the batch of that step, before it and without any extra loss, on the device: reading
            the number waits for a GPU. None at the start.
    """

    step: Step
    weights: Weights
    gradients: Weights
    loss: Tensor | None


class Observer:
    """Looks on; override what is to be listened to, and nothing is done for the rest."""

    def wants(self, step: Step) -> bool:
        """Say whether :meth:`on_batch` is to be called after a step, which may be one of those to come."""
        return True

    def on_start(self, view: View) -> None:
        """Look before the first step."""

    def on_batch(self, view: View) -> None:
        """Look after a step."""

    def on_epoch(self, view: View) -> None:
        """Look after the last step of each pass over the client's examples, after :meth:`on_batch`."""

    def on_end(self, view: View) -> None:
        """Look after the last step."""


class Audience:
    """All observers of one local training, asked once what they listen to.

    Args:
        observers: in the order in which they look.

    Attributes:
        seconds: how long they have looked.
        follows: whether anybody listens to what comes after the start.
        next: the next step after which somebody listens, 0 if there is none. It is looked up once the one before is
            done: asked at each step, between those of training, a call takes ten times as long as done again.
    """

    def __init__(self, observers: Iterable[Observer]) -> None:
        everybody = list(observers)
        self.seconds = 0.0
        self._start = [o.on_start for o in everybody if type(o).on_start is not Observer.on_start]
        self._batch = [o for o in everybody if type(o).on_batch is not Observer.on_batch]
        self._epoch = [o.on_epoch for o in everybody if type(o).on_epoch is not Observer.on_epoch]
        self._end = [o.on_end for o in everybody if type(o).on_end is not Observer.on_end]
        self.follows = bool(self._batch or self._epoch or self._end)
        self._weights: Weights = {}
        self.next = 0

    def started(self, weights: Weights, length: Length) -> None:
        """Tell who listens that the training of some weights starts, which change in place."""
        if self._start or self.follows:
            self._weights = {name: tensor.detach() for name, tensor in weights.items()}
        begin = Step(0, length.steps, length.per_epoch)
        if self._start:
            self._tell(self._start, View(begin, self._weights, {}, None))
        if self.follows:
            self._look_ahead(begin)

    def listening(self, step: Step) -> list[Callable[[View], None]]:
        """Return what is to be called after a step."""
        found: list[Callable[[View], None]] = [observer.on_batch for observer in self._batch if observer.wants(step)]
        if step.number % step.per_epoch == 0:
            found += self._epoch
        if step.number == step.last:
            found += self._end
        return found

    def stepped(self, step: Step, gradients: Weights, loss: Tensor) -> None:
        """Tell who listens that a step is done."""
        if listening := self.listening(step):
            self._tell(listening, View(step, self._weights, gradients, loss))
        self._look_ahead(step)

    def _look_ahead(self, step: Step) -> None:
        later = (Step(number, step.last, step.per_epoch) for number in range(step.number + 1, step.last + 1))
        self.next = next((one.number for one in later if self.listening(one)), 0)

    def _tell(self, listening: Sequence[Callable[[View], None]], view: View) -> None:
        began = time.perf_counter()
        with torch.no_grad():
            for listen in listening:
                listen(view)
        self.seconds += time.perf_counter() - began
