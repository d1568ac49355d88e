"""Everything between which there are distances in a round: clients and global models, by weights or representations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from metrics.base import ServerView
from metrics.distances.families import ClientMatrixMetric, LayerMetric
from metrics.distances.representations import RepresentationMetric
from metrics.distances.steps.preprocessing import PreprocessingStep
from metrics.distances.weights.participant import Client, LayerWeights, Model, model_of

GLOBAL = ("received", "aggregated")
# Why a distance is missing if nobody knows better: between weights, between representations.
INCOMPARABLE = "these weights cannot be compared: other shapes, or not finite"
_LAYERS_INCOMPARABLE = "layers that belong to it cannot be compared"
# An owner of a model: a client, or one of the models that the server gave, by its name.
Owner = int | str
# Places of two things -> why they have no distance, the first before the second.
Reasons = dict[tuple[int, int], str]


@dataclass(frozen=True)
class Participants:
    """The clients of a round, then the models that the server gave them.

    Attributes:
        owners: whose each model is.
        clients: weights or representations, as far as they are preprocessed.
        examples: the number of probe examples behind representations; None for weights.
        absent: owner and layer -> why its representation is not there; NaN stands in its place.
        refusal: why nothing can be compared, None if it can.
        given: relation -> client -> the owner of the model that it was given, see :class:`metrics.views.ServerView`.
    """

    owners: tuple[Owner, ...]
    clients: tuple[Client, ...]
    examples: int | None = None
    absent: Mapping[tuple[Owner, str], str] = field(default_factory=dict)
    refusal: str | None = None
    given: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def given_to(self, relation: str, client: int) -> str:
        """Return the owner of the model that a client received, or that was made for it."""
        return self.given.get(relation, {}).get(client, relation)

    def relation(self, client: int, other: Owner) -> str | None:
        """Return how another one's model is related to a client, None if that model was not given to it."""
        if not isinstance(other, str):
            return "clients"
        return next((name for name in GLOBAL if self.given_to(name, client) == other), None)

    @property
    def models(self) -> list[Model]:
        """The models of all."""
        return [client.model for client in self.clients]

    @property
    def scope(self) -> str | None:
        """The column ``scope`` of distances between them."""
        return None if self.examples is None else "probe"

    @property
    def incomparable(self) -> str:
        """Why a distance between them is missing if nobody knows better."""
        return INCOMPARABLE if self.examples is None else _LAYERS_INCOMPARABLE

    def reasons(
        self, metric: ClientMatrixMetric, sides: Sequence[tuple[Owner, LayerWeights]], pairs: Sequence[tuple[int, int]]
    ) -> Reasons:
        """Return why distances between layers are missing, as far as more can be said than that they are.

        Args:
            metric: the distance.
            sides: preprocessed layers and whose they are.
            pairs: places in ``sides`` of those without distance.
        """
        if not isinstance(metric, RepresentationMetric):
            return {}
        absent = [self.absent.get((owner, layer.name)) for owner, layer in sides]
        known = {(i, j): reason for i, j in pairs if (reason := absent[i] or absent[j])}
        layers = [layer for _, layer in sides]
        return known | metric.reasons(layers, [pair for pair in pairs if pair not in known])


@dataclass(frozen=True)
class LayerTables:
    """Distances layer by layer.

    Attributes:
        names: the layers.
        values: shape (layers, n, n), NaN where there is none.
        reasons: why, for every layer.
    """

    names: tuple[str, ...]
    values: np.ndarray
    reasons: tuple[Reasons, ...]

    @classmethod
    def of(cls, metric: ClientMatrixMetric, participants: Participants) -> "LayerTables":
        """Return the distances between all participants, their steps done; no layers if the distance knows of none."""
        if not isinstance(metric, LayerMetric):
            return cls((), np.zeros((0, 0, 0)), ())
        models = participants.models
        values = metric.layer_distances(models, metric.preprocessing_steps)
        reasons = []
        for layer, table in enumerate(values):
            sides = [(owner, model[layer]) for owner, model in zip(participants.owners, models, strict=True)]
            unknown = [(i, j) for i, j in np.argwhere(np.isnan(table)).tolist() if i < j]
            reasons.append(participants.reasons(metric, sides, unknown))
        return cls(tuple(layer.name for layer in models[0][: len(values)]), values, tuple(reasons))

    def why_whole(self) -> Reasons:
        """Return why whole models have no distance: the first layer's reason."""
        named = zip(reversed(self.names), reversed(self.reasons), strict=True)
        return {pair: f"layer {name}: {reason}" for name, found in named for pair, reason in found.items()}


@dataclass(frozen=True)
class CarefulStep:
    """A preprocessing step that leaves a reason instead of ending the others' work.

    Attributes:
        step: the step.
    """

    step: PreprocessingStep

    @property
    def cost(self) -> float:
        """That of the step."""
        return self.step.cost

    def __call__(self, participants: Participants) -> Participants:
        """Return the participants after the step, or with its refusal."""
        if participants.refusal is not None:
            return participants
        try:
            return replace(participants, clients=tuple(self.step(participants.clients)))
        except ValueError as error:
            return replace(participants, refusal=str(error))


def check_moments(moments: Sequence[str]) -> None:
    """Raise ValueError if clients are to be compared when the server does not know their weights."""
    for moment in moments:
        if moment != "after_local":
            raise ValueError(f"moments must be after_local, when clients' weights are known, got {moment!r}")


def by_weights(view: ServerView, global_models: Sequence[str]) -> Participants:
    """Return the clients' weights with their updates as gradients, and the global models', where there are any.

    They are those of the layers that every client sent.

    Args:
        view: a round after local training.
        global_models: which of ``received`` and ``aggregated``.
    """
    kept = view.kept_layers
    layers = [layer for layer in view.layers if layer not in kept]
    if not layers:
        some = any(view.senders(layer) for layer in kept)
        why = "no layer was sent by all clients" if some else "the clients keep all layers"
        return Participants((), (), refusal=f"{why}: the server has no weights to compare")
    clients = []
    for client in view.clients:
        own = {name: _array(tensor) for name, tensor in view.weights[client].items()}
        start = view.start_of(client)
        update = {name: np.subtract(own[name], _array(start[name]), dtype=np.float64) for name in own}
        clients.append(Client(model_of(layers, own), model_of(layers, update)))
    names = [name for relation in global_models for name in view.weights_given(relation)]
    globals_now = [Client(model_of(layers, view.model(name))) for name in names]
    return Participants((*view.clients, *names), (*clients, *globals_now), given=view.given)


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy()
    return array
