"""Metrics that look on while a client trains, as an observer: what fails in one is told, and the training goes on."""

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial

from torch import Tensor

from clients.network import Network, Weights
from clients.observers import Observer, View
from fedlayers.core.errors import Stopped, one_line
from fedlayers.core.records import Resource, Row, addressed, missing
from fedlayers.core.schedule import Step
from fedlayers.flower.session import Session
from metrics.answers.checked import checked
from metrics.base import Measurement, Metric
from metrics.tracking.follower import Follower, LocalTraining


class Following(Observer):
    """Lets metrics follow the training of one model.

    Where a learner names weights otherwise than the model does, they are told apart by where they lie.

    Args:
        session: whose training, in which round.
        metrics: name -> metric, those that are due in this round.
        network: what is trained, and followed.
        model: what the column ``model`` says of a model that is not the one compared; None for that one.

    Attributes:
        network: see above.
        followers: metric -> what looks on for it.
        seconds: metric -> how long it has looked.
        alarms: what the user should hear, a sentence each; complete once :meth:`rows` was called.
    """

    def __init__(
        self, session: Session, metrics: Mapping[str, Metric], network: Network, model: str | None = None
    ) -> None:
        self.network, self.followers = network, dict[str, Follower]()
        # Those of them that look by themselves.
        self._alone = self.followers
        self._metrics, self._model = metrics, model
        self._raises = session.workspace.config.metrics.get("on_error") == "raise"
        self.seconds = dict.fromkeys(metrics, 0.0)
        self._missing: list[Row] = []
        self._own_names: dict[str, str] | None = None
        self.alarms: list[str] = []
        for name, metric in metrics.items():
            self._each(name, partial(self._add, name, metric, session))

    def wants(self, step: Step) -> bool:
        """Say whether a metric looks at a step."""
        # Asked of every step ahead: a generator takes twice as long.
        for follower in self._alone.values():  # noqa: SIM110
            if follower.wants(step):
                return True
        return False

    def on_start(self, view: View) -> None:
        """Let them look before the first step; a training in parts, one after another, has several starts."""
        self._own_names = None
        weights = self._named(view.weights, view.weights)
        for name, follower in list(self._alone.items()):
            self._each(name, partial(follower.start, weights))

    def on_batch(self, view: View) -> None:
        """Let them look after a step."""
        weights, gradients = self._named(view.weights, view.weights), self._named(view.weights, view.gradients)
        for name, follower in list(self._alone.items()):
            if follower.wants(view.step):
                self._each(name, partial(follower.look, view.step, weights, gradients))

    def rows(self) -> list[Row]:
        """Return what they saw, the time that it took among it."""
        rows: list[Row] = []
        for name, follower in list(self.followers.items()):
            self._each(name, partial(self._finish, name, follower, rows))
        times = [Resource(f"measure_{name}", seconds, "s") for name, seconds in self.seconds.items()]
        rows = [*rows, *self._missing, *times]
        return addressed(rows, model=self._model) if self._model else rows

    def failed(self, name: str, error: Exception) -> None:
        """Note that one looks no more, so that its value is missing; where errors are to be raised, raise it."""
        if self._raises:
            raise error
        self.followers.pop(name, None)
        self._alone.pop(name, None)
        self._missing.append(missing(name, f"{type(error).__name__}: {one_line(error)}"[:400]))

    def hand_over(self, names: Collection[str]) -> None:
        """Let some not look by themselves: something else looks for them at several clients at once."""
        self._alone = {name: own for name, own in self.followers.items() if name not in names}

    def _add(self, name: str, metric: Metric, session: Session) -> None:
        self.followers[name] = metric.follow(session.workspace.layers, self._training(session))

    def _training(self, session: Session) -> LocalTraining:
        return LocalTraining(self.network.parameters, session.round, session.last_round)

    def _finish(self, name: str, follower: Follower, rows: list[Row]) -> None:
        found = follower.finish()
        rows += checked(Measurement(found.rows), self._metrics[name], "follow").rows
        # What stands before the colon is the kind, of which one is told as long as it goes on.
        of = f", {self._model} model:" if self._model else ":"
        self.alarms += [alarm.replace(":", of, 1) for alarm in found.alarms]

    def _each(self, name: str, work: Callable[[], None]) -> None:
        """Let one of them work; if it fails, it looks no more, and its value is missing."""
        self.seconds[name] += attempted(work, partial(self.failed, name))

    def _named(self, weights: Weights, tensors: Weights) -> dict[str, Tensor]:
        """Return tensors that are named as a learner's weights by the model's names; those of other models are none."""
        if self._own_names is None:
            own = self.network.parameters
            places = {tensor.data_ptr(): name for name, tensor in own.items() if tensor.numel()}
            as_model = weights.keys() <= own.keys()
            self._own_names = {
                name: found
                for name, tensor in weights.items()
                if (found := name if as_model else places.get(tensor.data_ptr())) is not None
            }
        return {self._own_names[name]: tensor for name, tensor in tensors.items() if name in self._own_names}


def attempted(work: Callable[[], None], failed: Callable[[Exception], None]) -> float:
    """Do some work and return the seconds that it took; ``failed`` is told what it fails with, but for a stop."""
    began = time.perf_counter()
    try:
        work()
    except Stopped:
        raise
    except Exception as error:
        failed(error)
    return time.perf_counter() - began


def following(session: Session, network: Network, model: str | None = None) -> list[Following]:
    """Return the observer of a client's local training, none if no metric follows it in this round.

    Args:
        session: whose training, in which round.
        network: what is trained.
        model: see :class:`Following`.
    """
    due = {
        name: metric
        for name, metric in session.workspace.metrics.items()
        if metric.follows_training and metric.schedule.is_due(session.round, session.last_round, session.moment)
    }
    return [Following(session, due, network, model)] if due else []
