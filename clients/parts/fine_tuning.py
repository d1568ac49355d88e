"""Participants whose personal model is the global one, trained on the own examples before it is measured."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from clients.cohorts.jobs import TrainingJob
from clients.fedavg import FedAvgClient
from clients.learners.base import Hooks
from clients.measuring import Model
from clients.network import Network
from fedlayers.config.schema.training import Training
from fedlayers.core.checks import check, not_negative
from fedlayers.core.seeding import torch_generator
from fedlayers.flower.orders import orders
from fedlayers.flower.session import Session


class FineTunedClient(FedAvgClient):
    """Trains as FedAvg does; evaluations after a round also measure the model that came, adapted to its examples.

    ``global`` is the model as it came, ``personal`` the same after so many epochs of local training, of which nothing
    is kept or sent. With no epoch it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        tuning_epochs: passes over the client's training examples, 0 or more.

    References:
        Cheng, Chadha & Duchi 2021, Fine-tuning is Fine in Federated Learning, arXiv 2108.07313.
    """

    def __init__(self, session: Session, tuning_epochs: float) -> None:
        key = "algorithm.tuning_epochs"
        check(not_negative(tuning_epochs), key, "0 or more (0 is no fine-tuning)", tuning_epochs)
        super().__init__(session)
        self.tuning_epochs = tuning_epochs

    def tuned_names(self) -> list[str] | None:
        """Return which weights are adapted; None for all that require gradients."""
        return None

    def tuning(self) -> Training:
        """Return the settings of fine-tuning: the run's, but for its length."""
        return replace(self.session.workspace.config.training, epochs=self.tuning_epochs, steps=None)

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the model that came, and after the first round has begun the adapted one."""
        found = super().evaluated_models(received)
        adapts = self.tuning_epochs and self.session.round
        return {**found, "personal": self.tuned(received)} if adapts else found

    def unseen_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the same: fine-tuning needs nothing that a client has of earlier rounds."""
        return self.evaluated_models(received)

    def tuned(self, received: Mapping[str, Tensor]) -> Model:
        """Return a copy of the model that came after local training."""
        return adapted(self, received, self.tuning(), self.tuned_names())


def adapted(
    client: FedAvgClient, received: Mapping[str, Tensor], training: Training, names: list[str] | None = None
) -> Model:
    """Return a copy of a model after local training outside of a round, of which nothing is kept or sent.

    Args:
        client: whose examples, objective and learner.
        received: name -> the weights to start from.
        training: how long, and how.
        names: which weights are trained; None for all that require gradients.
    """
    session = client.session
    workspace = session.workspace
    client.told = orders({}, training)
    weights, buffers = {name: tensor.clone() for name, tensor in received.items()}, client.buffers()
    network = Network(workspace.module, weights, buffers)
    learner = FedAvgClient.learner(client, network, Hooks(), names)
    generator = torch_generator(workspace.config.training_seed, "fine-tuning", session.round, session.client)
    job = TrainingJob(
        learner, client.training_examples(), training, generator, workspace.augment, device=workspace.device
    )
    job.done_alone()
    return Model(weights, buffers, received)
