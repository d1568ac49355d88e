"""What the halves of a metric see: one model of one client, and all clients together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fedlayers.core.layers import Layer
from fedlayers.core.plans.plan import FederationPlan
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from metrics.parallel import ParallelMap, map_here


class ExampleSet(Protocol):
    """Examples of one client and split, as the data layer hands them out."""

    def __len__(self) -> int:
        """Return the number of examples."""

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalised float features (b, *shape), or int64 tokens, and int64 labels (b,) of ``positions`` (b,).

        Where several labels of an example may hold, labels are sets: 0 and 1, shape (b, C).
        """

    def targets(self, positions: Tensor | None = None) -> Tensor:
        """Return the labels that :meth:`batch` gives, of ``positions`` or of all, on the CPU; no features are read."""


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
        label_groups: of label sets, the group that each label belongs to; empty if there is one group.
        round, moment, seed: when this is, and this client's seed then; derive generators from it with a purpose.
        batch_size: examples per forward pass when a pass runs over a whole split.
        batches_at_once: batches that such a pass computes at the same time: 1 on a client, which has one core.
        payload_limit_bytes: the most one metric may send to the server, what it shares with others included.
        run_seed: the run's seed, for what all clients, rounds and moments must have in common.
        objective: what the client minimises, its training examples known; on the server those of all clients.
        client: its index; None on the server.
        cache: results shared by the metrics of this view, keyed by what they are.
        module_cache: what holds of the module whatever its weights, found out once a worker, keyed by what it is.
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
    run_seed: int = 0
    objective: Objective = CROSS_ENTROPY
    client: int | None = None
    cache: dict[Any, Any] = field(default_factory=dict)
    label_groups: Sequence[str] = ()
    module_cache: dict[Any, Any] = field(default_factory=dict)


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
        plans: client -> its own plan in this round, where plans change; empty where all have the same in all rounds.
        given: ``received`` (what a client started from) or ``aggregated`` (what was made for it) -> client -> the
            model's name in ``models``; a client that is not there was given the global one, named as the relation.
        models: name -> weights.
        earlier: returns what it kept at this moment in its first round and the last one before this: round -> arrays.
        planted: client -> the group that was planted in its data; empty if none was.
        clusters: client -> its cluster, as ``metrics=[clusters]`` found it earlier in the same round; empty if not.
        classes: the class names, in the order of the labels.
        parallel_map: how the run's workers compute a function of many, for :func:`metrics.parallel.map_if_large`.
        cache: results shared by the metrics of this view, keyed by what they are.
        remembered: what may serve a later round again where it looks at the same model, keyed by what it is.
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
    clusters: Mapping[int, int] = field(default_factory=dict)
    classes: Sequence[str] = ()
    parallel_map: ParallelMap = map_here
    cache: dict[Any, Any] = field(default_factory=dict)
    mean_weights: Mapping[int, float] = field(default_factory=dict)
    has_global_model: bool = True
    plan: FederationPlan = field(default_factory=FederationPlan.all)
    plans: Mapping[int, FederationPlan] = field(default_factory=dict)
    given: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    shared: Mapping[str, Mapping[int, Mapping[str, np.ndarray]]] = field(default_factory=dict)
    remembered: dict[Any, Any] = field(default_factory=dict)

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
        return {x: self._why_kept(x) if self.plan.shares(x) else self.plan.why_missing(x) for x in kept}

    def senders(self, layer: Layer) -> list[int]:
        """Return the clients that sent a layer's weights, ascending."""
        return [client for client in sorted(self.weights) if set(layer.names) <= set(self.weights[client])]

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
        if not all(plan.is_whole for plan in self.plans.values()):
            return False
        return len({self.given_to("received", client) for client in self.clients}) < 2

    def _why_kept(self, layer: Layer) -> str:
        """Return why not every client sent a layer that is shared."""
        away = sorted(set(self.clients) - set(self.senders(layer)))
        if not self.plans or len(away) == len(self.clients):
            return "the clients keep this layer"
        some = ", ".join(map(str, away[:5])) + (f" and {len(away) - 5} more" if len(away) > 5 else "")
        return f"the federation plan of this round leaves {layer.name} with clients {some}"


NO_GLOBAL_MODEL = "the algorithm makes no global model"
SHARED = "shared"  # the column ``variant`` of values of a whole model that are those of the layers sent
