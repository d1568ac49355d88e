"""Which models the server gave its clients in a phase: what each started from, and what was made for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from flwr.app import MetricRecord
from torch import Tensor

from fedlayers.flower.adapter import records_of
from fedlayers.flower.arrays import decode
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Replies, client_of
from fedlayers.flower.strategy_contract import Declared, Weights


@dataclass
class GivenModels:
    """Models other than the global ones, by name, and who was given which.

    Attributes:
        names: ``received`` or ``aggregated`` -> client -> the model's name; of clients that had the global one nothing.
        models: name -> weights.
    """

    names: dict[str, dict[int, str]] = field(default_factory=dict)
    models: dict[str, Weights] = field(default_factory=dict)
    # Weights that were looked at already, by their identity, and the names that were found for them.
    _seen: dict[tuple[str, int], tuple[Weights, str | None]] = field(default_factory=dict)

    def add(self, relation: str, client: int, weights: Weights, usual: Weights) -> None:
        """Write down that a client was given some weights; those that are equal to the usual ones have no name."""
        key = relation, id(weights)
        if key not in self._seen:
            self._seen[key] = weights, self._name(relation, weights, usual)
        name = self._seen[key][1]
        if name is not None:
            self.names.setdefault(relation, {})[client] = name

    def told(self, client: int, weights: Weights) -> None:
        """Write down the weights that a client kept and started from; they are its own alone."""
        name = f"received {client}"
        self.models[name] = weights
        self.names.setdefault("received", {})[client] = name

    def _name(self, relation: str, weights: Weights, usual: Weights) -> str | None:
        if _equal(weights, usual):
            return None
        known = [name for name in self.models if name.startswith(relation)]
        same = next((name for name in known if _equal(self.models[name], weights)), None)
        name = same or f"{relation} model {len(known)}"
        self.models.setdefault(name, weights)
        return name

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """Return the models as tensors that share memory with the arrays; nobody writes to them."""
        return {name: tensors_of(weights) for name, weights in self.models.items()}


def given_models(strategy: Declared, phase: Replies, received: GlobalModel, model: GlobalModel) -> GivenModels:
    """Return what clients started from, and for a training phase what was made for them.

    Args:
        strategy: says which of the weights that it sent a client worked with.
        phase: a training phase whose replies are aggregated, or an evaluation.
        received: the global model that went out.
        model: the global model now; the same one in an evaluation.
    """
    found = GivenModels()
    # Engines and strategies send the same record to many clients.
    decoded = {id(record): {k: decode(array) for k, array in record.items()} for record in phase.sent.values()}
    for message in phase.messages:
        client = client_of(message)
        if client in phase.starts:
            found.told(client, phase.starts[client])
        elif client in phase.sent:
            used = strategy.used(decoded[id(phase.sent[client])], records_of(message.content, MetricRecord)["metrics"])
            found.add("received", client, used, received.weights)
        made = strategy.made_for(client + 1) if model is not received else None
        if made is not None:
            found.add("aggregated", client, made, model.weights)
    return found


def tensors_of(weights: Weights) -> dict[str, Tensor]:
    """Return arrays as tensors that share their memory."""
    return {name: torch.from_numpy(array) for name, array in weights.items()}


def _equal(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> bool:
    return left is right or all(np.array_equal(array, right[name], equal_nan=True) for name, array in left.items())
