"""All that look on for a run's metrics while a client trains, and what becomes of what they saw."""

import math
from collections.abc import Mapping, Sequence

from clients.following import Following, following
from clients.measuring import note_times
from clients.network import Network, Weights
from clients.observers import Observer
from clients.step_metrics import step_metrics
from fedlayers.core.federation import Examples
from fedlayers.core.records import Row
from fedlayers.flower.contents import ALARMS, packed_alarms
from fedlayers.flower.session import Session

NOT_FINITE = "not finite"


class Onlookers:
    """The run's metrics that are due inside one local training.

    Args:
        session: whose training, in which round.
        network: what is trained.
        start: name -> the weights that training starts from.
        client: None if training is on all clients' examples.
        data: scope -> the examples to measure on.

    Attributes:
        observers: what the loop over batches is to tell.
    """

    def __init__(
        self, session: Session, network: Network, start: Weights, client: int | None, data: Mapping[str, Examples]
    ) -> None:
        self._session, self._client = session, client
        self._measuring = step_metrics(session, network, start, client, data)
        with session.part("train"):
            self._following = following(session, network)
        self.observers: Sequence[Observer] = [*self._measuring, *self._following]

    def follow(self, second: Mapping[str, Network]) -> None:
        """Let the metrics that follow a training follow other models that are trained, too: name -> what is trained."""
        with self._session.part("train"):
            more = [own for model, network in second.items() for own in following(self._session, network, model)]
        self._following += more
        self.observers = [*self.observers, *more]

    def rows(self) -> list[Row]:
        """Return what was measured."""
        measured = [row for observer in self._measuring for row in observer.rows]
        with self._session.part("train"):
            measured += [row for observer in self._following for row in observer.rows()]
        note_times(self._session, measured, "train")
        return measured

    def alarms(self, loss: float) -> dict[str, bytes]:
        """Return what a reply carries if the training gave cause to worry, once :meth:`rows` was called.

        Args:
            loss: the mean training loss.
        """
        told = [alarm for observer in self._following for alarm in observer.alarms]
        if not math.isfinite(loss) and not any(alarm.startswith(f"{NOT_FINITE}:") for alarm in told):
            told.append(f"{NOT_FINITE}: the training loss is {loss}; a smaller training.lr may help")
        return {ALARMS: packed_alarms(self._client, self._session.round, told)} if told else {}


def of_network(observers: Sequence[Observer], network: Network) -> list[Observer]:
    """Return those observers that follow the training of one network and of no other."""
    return [observer for observer in observers if isinstance(observer, Following) and observer.network is network]


def of_every_part(observers: Sequence[Observer]) -> list[Observer]:
    """Return those observers that follow a training also where it has several parts, one after another."""
    return [observer for observer in observers if isinstance(observer, Following)]
