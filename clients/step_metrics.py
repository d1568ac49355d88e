"""Metrics that measure the weights inside local training, as an observer."""

from collections.abc import Mapping

from clients.network import Weights
from clients.observers import Observer, View
from fedlayers.core.records import Row
from fedlayers.core.seeding import derive
from fedlayers.flower.session import Session
from metrics.base import Metric
from metrics.measure import measure_step


class StepMetrics(Observer):
    """Measures a client's weights after the steps at which its metrics are due.

    Args:
        session: whose training, in which round.
        metrics: name -> metric, those that are due in this round.
        start: name -> the weights that training starts from.

    Attributes:
        rows: what was measured, with the column ``step``.
    """

    def __init__(self, session: Session, metrics: Mapping[str, Metric], start: Weights) -> None:
        config, self.layers = session.workspace.config, session.workspace.layers
        self.metrics = metrics
        self.start = start
        self.seed = derive(config.seed, "measure/step", session.round, session.client)
        self.on_error = str(config.metrics.get("on_error", "record"))
        self.rows: list[Row] = []

    def on_batch(self, view: View) -> None:
        """Measure what is due after this step."""
        rows = measure_step(self.metrics, self.layers, view.weights, self.start, view.step, self.seed, self.on_error)
        self.rows.extend(rows)


def step_metrics(session: Session, start: Weights) -> list[StepMetrics]:
    """Return the observer of a client's local training, none if no metric is due inside it.

    Args:
        session: whose training, in which round.
        start: name -> the weights that training starts from.
    """
    due = {
        name: metric
        for name, metric in session.workspace.metrics.items()
        if metric.schedule.steps and metric.schedule.is_due(session.round, session.last_round, session.moment)
    }
    return [StepMetrics(session, due, start)] if due else []
