"""What a metric is: its facts, when it is due, a client half and a server half."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.core import quantities
from fedlayers.core.federation_plan import FederationPlan
from fedlayers.core.layers import Layer
from fedlayers.core.records import Record, Row, missing
from fedlayers.core.schedule import Schedule
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from metrics.parallel import ParallelMap, map_here

Facts = quantities.Facts


class ExampleSet(Protocol):
    """Examples of one client and split, as the data layer hands them out."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised float features (b, *shape) and int64 labels (b,) of ``positions`` (b,)."""


@dataclass
class ClientView:
    """What the client half of a metric sees: one model of one client at one moment.

    Attributes:
        layers: the model's layers, in order.
        module: the model in eval mode, its weights ``parameters``; leave these, mode and gradients as found.
        parameters: name -> the weights that are measured; detached leaf tensors.
        buffers: name -> buffer tensors.
        reference: name -> the weights that training started from; ``parameters`` unless it is ``after_local``.
        data: scope (``client_train``, ``client_val``, ``client_test``) -> examples; without those of empty splits.
        probe: the examples on which representations are compared, always the same; label -1 where there is none.
        probe_limit: the most examples that the probe could have; None: as many as asked for.
        classes: the class names, in the order of the labels.
        round, moment, seed: when this is, and this client's seed then; derive generators from it with a purpose.
        batch_size: examples per forward pass when a pass runs over a whole split.
        batches_at_once: batches that such a pass computes at the same time: 1 on a client, which has one core.
        payload_limit_bytes: the most one metric may send to the server, what it shares with others included.
        objective: what the client minimises, its training examples known; on the server those of all clients.
        cache: results shared by the metrics of this view, keyed by what they are.
    """

    layers: Sequence[Layer]
    module: nn.Module
    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    reference: Mapping[str, Tensor]
    data: Mapping[str, ExampleSet]
    classes: Sequence[str]
    seed: int
    round: int
    moment: str
    batch_size: int = 128
    batches_at_once: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    payload_limit_bytes: int = 64 * 2**20
    probe: ExampleSet | None = None
    probe_limit: int | None = None
    objective: Objective = CROSS_ENTROPY
    cache: dict[Any, Any] = field(default_factory=dict)


@dataclass
class ServerView:
    """What the server half of a metric sees once a phase's replies are in.

    Attributes:
        layers: the model's layers, in order.
        clients: indices of the clients that replied, ascending; every mapping below has these keys.
        weights: client -> its weights after local training (moment ``after_local`` only, else empty).
        before: the global weights that went out; what a client started from is :meth:`start_of`.
        after: the aggregated global weights (``before`` where nothing is aggregated); a client's are :meth:`made_for`.
        examples: client -> number of training examples; what the mean weighs clients with is :meth:`shares`.
        payloads: client -> what this metric's client half sent, name -> array.
        shared: name -> client -> what several metrics' client halves sent once, see :class:`Measurement`.
        round, moment, seed: when this is, and the server's seed then.
        global_views: ``received`` (the global model that went out) and, at ``after_local``, ``aggregated`` (the one
            made of the replies), and every other model in ``given`` -> a function that returns a view of it, which
            holds until the next call. Empty where the server has no whole model: :attr:`why_no_model`.
        mean_weights: client -> its weight in the server's mean; empty: the number of its training examples.
        has_global_model: whether the server makes a model of what the clients send.
        plan: which layers are shared: of the others the server has no weights, neither the clients' nor global ones.
        given: ``received`` (what a client started from) or ``aggregated`` (what was made for it) -> client -> the
            model's name in ``models``; a client that is not there was given the global one, named as the relation.
        models: name -> weights.
        earlier: returns what it kept at this moment in its first round and the last one before this: round -> arrays.
        planted: client -> the group that was planted in its data; empty if none was.
        parallel_map: how the run's workers compute a function of many, for :func:`metrics.parallel.map_if_large`.
        cache: results shared by the metrics of this view, keyed by what they are.
    """

    layers: Sequence[Layer]
    clients: Sequence[int]
    weights: Mapping[int, Mapping[str, Tensor]]
    before: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    examples: Mapping[int, int]
    payloads: Mapping[int, Mapping[str, np.ndarray]]
    seed: int
    round: int
    moment: str
    global_views: Mapping[str, Callable[[], ClientView]] = field(default_factory=dict)
    earlier: Callable[..., Mapping[int, Mapping[str, np.ndarray]]] = lambda *_: {}
    planted: Mapping[int, int] = field(default_factory=dict)
    parallel_map: ParallelMap = map_here
    cache: dict[Any, Any] = field(default_factory=dict)
    mean_weights: Mapping[int, float] = field(default_factory=dict)
    has_global_model: bool = True
    plan: FederationPlan = field(default_factory=FederationPlan.all)
    given: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    shared: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]] = field(default_factory=dict)

    @property
    def why_no_model(self) -> str | None:
        """Why there is no view of a global model, None if there is one."""
        if not self.has_global_model:
            return NO_GLOBAL_MODEL
        return None if self.plan.is_whole else self.plan.why_no_model

    def given_to(self, relation: str, client: int) -> str:
        """Return the name of the model that a client started from (``received``) or that was made for it."""
        return self.given.get(relation, {}).get(client, relation)

    def names_given(self, relation: str) -> list[str]:
        """Return the names of all models of a relation of which there is a view, by client."""
        return [name for name in self.weights_given(relation) if name in self.global_views]

    def weights_given(self, relation: str) -> list[str]:
        """Return the names of all models of a relation, by client, of which the server may have shared layers only."""
        return list(dict.fromkeys(self.given_to(relation, client) for client in self.clients))

    @property
    def kept_layers(self) -> dict[Layer, str]:
        """The layers of which not every client sent its weights, in order -> why they cannot be compared."""
        sent = set.intersection(*map(set, self.weights.values())) if self.weights else set()
        kept = [layer for layer in self.layers if not sent.issuperset(layer.names)]
        return {x: "the clients keep this layer" if self.plan.shares(x) else self.plan.why_missing(x) for x in kept}

    def model(self, name: str) -> Mapping[str, Tensor]:
        """Return the weights of a model that clients were given."""
        return self.models[name] if name in self.models else {"received": self.before, "aggregated": self.after}[name]

    def start_of(self, client: int) -> Mapping[str, Tensor]:
        """Return the weights that a client started from.

        Raises:
            ValueError: the client keeps its own and did not tell.
        """
        name = self.given_to("received", client)
        if name == "received" and not self.has_global_model and self.moment != "start":
            raise ValueError(f"what client {client} started from is not known: it keeps its own model")
        return self.model(name)

    def made_for(self, client: int) -> Mapping[str, Tensor] | None:
        """Return the weights that the server made for a client of what it and others sent, None if it makes none."""
        return self.model(self.given_to("aggregated", client)) if self.has_global_model else None

    def shares(self, clients: Sequence[int]) -> list[float]:
        """Return the weights of clients in the mean of them, summing to 1."""
        weights = [(self.mean_weights or self.examples)[client] for client in clients]
        total = sum(weights)
        return [weight / total for weight in weights]

    def common_weights(self) -> bool:
        """Say whether all clients measured the same model: not after local training, nor with models of their own."""
        if self.moment in ("start", "after_local") or self.why_no_model:
            return self.moment == "start"
        return len({self.given_to("received", client) for client in self.clients}) < 2


NO_GLOBAL_MODEL = "the algorithm makes no global model"
SHARED = "shared"  # the column ``variant`` of values of a whole model that are those of the layers sent


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
    uses_probe: bool = False  # whether the run needs a probe for it
    # Whether model and probe alone decide its values: the global model is then measured once, on the server.
    per_model: ClassVar[bool] = False
    common: frozenset[str] = frozenset()  # quantities that another metric may measure, too: a value stands once
    repeats: ClassVar[bool] = False  # whether the same model and examples give the same values, at whatever moment

    def __init__(
        self,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
        steps: Sequence[str | int] = (),
    ) -> None:
        self.schedule = Schedule(rounds, moments, f"metrics.{type(self).__name__.lower()}", steps)
        if steps and type(self).step is Metric.step:
            raise ValueError(f"steps must be [] for what measures nothing inside local training, got {list(steps)}")

    @property
    def compares_clients(self) -> bool:
        """Whether it has a server half."""
        return type(self).server is not Metric.server

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
