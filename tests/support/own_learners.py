"""Clients with learners of their own, named by ``_target_``: head and body by turns, and a second model."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from clients.batches import Batch
from clients.fedavg import FedAvgClient
from clients.learners.base import Hooks, Learner
from clients.learners.composed import Composed
from clients.measuring import Model
from clients.network import Network, Weights
from clients.trained import Trained
from fedlayers.core.schedule import Step


class Turns(Composed):
    """Trains the head in the first epoch and the body after it."""

    def step(self, batch: Batch, step: Step) -> Tensor:
        return self.parts["head" if step.number <= step.per_epoch else "body"].step(batch, step)


class TurnsClient(FedAvgClient):
    """Trains head and body by turns, each with an optimizer of its own."""

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        head = [name for name in network.parameters if name.startswith("fc2")]
        body = [name for name in network.parameters if name not in head]
        own = super().learner
        return Turns({"head": own(network, hooks, head), "body": own(network, hooks, body)})


class Both(Composed):
    """Takes a step with each part; the loss is the first one's."""

    def step(self, batch: Batch, step: Step) -> Tensor:
        first, *_ = [part.step(batch, step) for part in self.parts.values()]
        return first


class SecondModelClient(FedAvgClient):
    """Trains the shared model, and beside it one of its own that is held near it (Ditto, arXiv 2012.04221)."""

    pull = 0.5

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        own = self.session.stored("second") or {name: tensor.clone() for name, tensor in network.parameters.items()}
        self.second = network.twin(own, {name: tensor.clone() for name, tensor in network.buffers.items()})
        near = Hooks(network.parameters, extra_loss=self.distance)
        return Both({"global": super().learner(network, hooks), "personal": super().learner(self.second, near)})

    def distance(self, parameters: Weights, reference: Weights) -> Tensor:
        parts = [(own - reference[name].detach()).square().sum() for name, own in parameters.items()]
        return self.pull / 2 * torch.stack(parts).sum()

    def keep(self, trained: Trained) -> None:
        super().keep(trained)
        self.session.store("second", self.second.parameters)

    def trained_models(self, trained: Trained) -> Mapping[str, Model]:
        shared = Model(trained.weights, trained.buffers, trained.start)
        return {"global": shared, "personal": Model(self.second.parameters, self.second.buffers)}
