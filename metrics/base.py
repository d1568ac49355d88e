"""What a metric is: its facts, when it is due, a client half and a server half."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from fedlayers.core import quantities
from fedlayers.core.layers import Layer
from fedlayers.core.records import Record, Row, missing
from fedlayers.core.schedule import Schedule
from metrics.tracking.follower import Follower, LocalTraining
from metrics.views import NO_GLOBAL_MODEL, SHARED, ClientView, ExampleSet, ServerView

# Where a metric of one's own finds all it needs.
__all__ = [
    "NO_GLOBAL_MODEL",
    "SHARED",
    "ClientView",
    "Described",
    "ExampleSet",
    "Facts",
    "Measurement",
    "Metric",
    "ServerView",
    "at",
    "measured",
]

Facts = quantities.Facts


@dataclass
class Measurement:
    """What one half of a metric returns.

    Attributes:
        rows: rows of any table.
        payload: what a client half sends to the server half, compact: name -> array.
        kept: what a server half asks to get back in later rounds: name -> array.
        shared: name -> such a payload that other metrics send, too; as the object in ``view.cache`` it travels once.
    """

    rows: list[Row] = field(default_factory=list)
    payload: dict[str, np.ndarray] = field(default_factory=dict)
    kept: dict[str, np.ndarray] = field(default_factory=dict)
    shared: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)


class Described:
    """What states how its values are to be read; a run writes it into its folder, where figures look it up."""

    facts: tuple[Facts, ...] = ()


class Metric(Described):
    """A family of metrics that share work: subclass, state the facts, implement one half or more.

    Args:
        rounds: when it is due: ``"first"``, ``"last"``, ``"all"``, ``"every k"`` or round numbers.
        moments: at which moments it is due.
        steps: after which optimizer steps of local training it is due, too: said as rounds are, or ``"every epoch"``.

    A half that raises yields a missing value with the reason; ``metrics.on_error=raise`` makes that fatal.
    """

    on_server: ClassVar[bool] = False  # whether the client half also measures the global model, on ``server_test``
    of_predictions: ClassVar[bool] = False  # whether the client half looks at nothing but predictions
    uses_probe: bool = False  # whether the run needs a probe for it
    # Whether model and probe alone decide its values: the global model is then measured once, on the server.
    per_model: ClassVar[bool] = False
    # Whether it measures what a client's work on a message takes, and what travels, where that is done.
    of_messages: ClassVar[bool] = False
    common: frozenset[str] = frozenset()  # quantities that another metric may measure, too: a value stands once
    # Whether the same models and examples give the same values, at whatever moment: those of its server half, too.
    repeats: ClassVar[bool] = False

    def __init__(
        self,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
        steps: Sequence[str | int] = (),
    ) -> None:
        self.schedule = Schedule(rounds, moments, f"metrics.{type(self).__name__.lower()}", steps)
        if steps and not (self.measures_steps or self.looks_inside):
            raise ValueError(f"steps must be [] for what measures nothing inside local training, got {list(steps)}")

    @property
    def compares_clients(self) -> bool:
        """Whether it has a server half."""
        return type(self).server is not Metric.server

    @property
    def tests_models(self) -> bool:
        """Whether it tests a model on held-out examples, whosever: then also of clients that never train."""
        return self.on_server and not self.uses_probe

    @property
    def measures_steps(self) -> bool:
        """Whether it measures weights inside local training."""
        return type(self).step is not Metric.step

    @property
    def follows_training(self) -> bool:
        """Whether it looks on while a client trains."""
        return type(self).follow is not Metric.follow

    @property
    def measures_models(self) -> bool:
        """Whether it measures a model at a moment; what only looks on while clients work does not."""
        return type(self).client is not Metric.client or not (self.follows_training or self.of_messages)

    @property
    def looks_inside(self) -> bool:
        """Whether it measures a whole model inside local training."""
        return type(self).inside is not Metric.inside

    def check_model(self, module: nn.Module) -> None:
        """Raise UserError, before the run, if it can measure nothing of a model; the default takes any."""

    def client(self, view: ClientView) -> Measurement:
        """Measure one client's model; the default measures nothing."""
        return Measurement()

    def rehearse(self, view: ClientView) -> None:
        """Try before the run, on two examples, what may fail: what a client measures; override it where slow."""
        self.client(view)
        if self.schedule.steps:
            self.step(view.layers, view.parameters, view.reference)

    def step(
        self, layers: Sequence[Layer], parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]
    ) -> list[Row]:
        """Measure one client's weights inside local training, where ``steps`` says; the default measures nothing.

        Args:
            layers: the model's layers, in order.
            parameters: name -> the weights as they are then; leave them as found.
            reference: name -> the weights that its training started from.
        """
        return []

    def inside(self, view: ClientView) -> list[Row]:
        """Measure one client's whole model inside local training, where ``steps`` says; the default measures nothing.

        Args:
            view: the model as it is then, in eval mode, apart from the one that trains: what is done with it changes
                nothing of the training, as long as weights and buffers stay as found.
        """
        return []

    def network(self, module: nn.Module, layers: Sequence[Layer], features: Tensor) -> list[Row]:
        """Return what holds for the network whatever its weights, measured once before the first round; nothing here.

        Args:
            module: the model, in eval mode.
            layers: its layers, in order.
            features: one example.
        """
        return []

    def follow(self, layers: Sequence[Layer], training: LocalTraining) -> Follower:
        """Return what looks on while one client trains in one round where it is due at ``after_local``.

        Args:
            layers: the model's layers, in order.
            training: what is about to begin.
        """
        raise NotImplementedError

    def server(self, view: ServerView) -> Measurement:
        """Measure across clients; the default measures nothing."""
        return Measurement()

    def remarks(self, view: ClientView) -> list[str]:
        """Return what the user should know before the first round, given the initial global model; nothing here."""
        return []


def at(layer: Layer | None) -> dict[str, Any]:
    """Return the columns ``layer`` and ``layer_index`` of a row: empty for None, the whole model.

    >>> at(Layer("fc1", 0, "linear", "fc1", (), ())), at(None)
    ({'layer': 'fc1', 'layer_index': 0}, {})
    """
    return {} if layer is None else {"layer": layer.name, "layer_index": layer.index}


def measured(metric: str, value: float, reason: str = "the value is not finite", **columns: Any) -> Record:
    """Return the record of a value, or of a missing value with ``reason`` if it is NaN or infinite.

    Args:
        metric: the name of the quantity.
        value: the value; NaN says that it is not defined here.
        reason: why it is not, shown only then.
        columns: further columns of :class:`fedlayers.core.records.Record`.

    >>> measured("norm", 2.5).status, measured("norm", math.nan, "no weights").reason
    ('ok', 'no weights')
    """
    if not math.isfinite(value):
        address = {key: columns[key] for key in columns.keys() - {"stderr", "chance", "chance_hi", "p"}}
        return missing(metric, reason, **address)
    return Record(metric, value, **columns)
