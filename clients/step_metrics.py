"""Metrics that measure a model inside its local training, as an observer."""

from collections.abc import Callable, Mapping

from torch import Tensor

from clients.measuring import Model, view_of
from clients.network import Network, Weights
from clients.observers import Observer, View
from fedlayers.core.federation import Examples
from fedlayers.core.records import Row
from fedlayers.core.seeding import derive
from fedlayers.flower.session import Session
from metrics.base import ClientView, Metric
from metrics.measure import measure_step


class StepMetrics(Observer):
    """Measures a client's model after the steps at which its metrics are due.

    A metric that looks at more than weights sees a module of its own, which computes with the weights in training and
    shares nothing else with the one that trains.

    Args:
        session: whose training, in which round.
        metrics: name -> metric, those that are due in this round.
        network: what is trained.
        start: name -> the weights that training starts from.
        client: what the rows' views are of; None if training is on all clients' examples.
        data: scope -> the examples to measure on.

    Attributes:
        rows: what was measured, with the column ``step``.
    """

    def __init__(
        self,
        session: Session,
        metrics: Mapping[str, Metric],
        network: Network,
        start: Weights,
        client: int | None,
        data: Mapping[str, Examples],
    ) -> None:
        config, self.layers = session.workspace.config, session.workspace.layers
        self.session, self.metrics, self.network = session, metrics, network
        self.start, self.client, self.data = start, client, data
        self.seed = derive(config.seed, "measure/step", session.round, session.client)
        self.on_error = str(config.metrics.get("on_error", "record"))
        self.rows: list[Row] = []
        looked = any(metric.looks_inside for metric in metrics.values())
        self.twin = network.twin(network.parameters, network.buffers).module.eval() if looked else None

    def on_batch(self, view: View) -> None:
        """Measure what is due after this step."""

        def with_view(measured: Callable[[ClientView], list[Row]]) -> list[Row]:
            return self._with_view(self._weights(view), measured)

        rows = measure_step(
            self.metrics, self.layers, self._weights(view), self.start, view.step, self.seed, self.on_error, with_view
        )
        self.rows.extend(rows)

    def _with_view(self, weights: Weights, measured: Callable[[ClientView], list[Row]]) -> list[Row]:
        """Return what a function makes of a view of the model with these weights."""
        assert self.twin is not None
        model = Model(weights, self._buffers(), self.start)
        seen = view_of(self.session, self.twin, model, self.client, self.data)
        return Network(self.twin, seen.parameters, model.buffers).held(lambda: measured(seen))

    def _weights(self, view: View) -> Weights:
        """Return all weights of the network as they are now, also where a learner names what it trains otherwise."""
        own = self.network.parameters
        return view.weights if view.weights.keys() == own.keys() else own

    def _buffers(self) -> dict[str, Tensor]:
        """Return the buffers as they are now; a module that trains may have replaced some."""
        name, weight = next(iter(self.network.parameters.items()))
        is_held = dict(self.network.module.named_parameters()).get(name) is weight
        now = dict(self.network.module.named_buffers()) if is_held else self.network.buffers
        return {name: tensor.detach().clone() for name, tensor in now.items()}


def step_metrics(
    session: Session, network: Network, start: Weights, client: int | None, data: Mapping[str, Examples]
) -> list[StepMetrics]:
    """Return the observer of a client's local training, none if no metric is due inside it.

    Args:
        session: whose training, in which round.
        network: what is trained.
        start: name -> the weights that training starts from.
        client: None if training is on all clients' examples.
        data: scope -> the examples to measure on.
    """
    due = {
        name: metric
        for name, metric in session.workspace.metrics.items()
        if metric.schedule.steps and metric.schedule.is_due(session.round, session.last_round, session.moment)
    }
    return [StepMetrics(session, due, network, start, client, data)] if due else []
