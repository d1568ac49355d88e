"""MOON's participant: its features stay near those of the global model and leave those it had.

References:
    Li, He & Song 2021, Model-Contrastive Federated Learning, CVPR (arXiv 2103.16257), algorithm 1.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from clients.learners.base import Hooks, Learner, Task
from clients.learners.end_to_end import check_end_to_end
from clients.losses.base import SeesBatch
from clients.losses.features import Features, Listening
from clients.network import Network
from clients.trained import Trained
from fedlayers.core.checks import check, not_negative, positive
from fedlayers.flower.session import Session

_PREVIOUS, _PREVIOUS_BUFFERS = "previous", "previous_buffers"


class MoonClient(Listening):
    """Adds µ times the mean of −log (e^(s/τ) / (e^(s/τ) + e^(s'/τ))) to the loss of a batch.

    s is the cosine of an example's features with those of the global model that was received, s' with those of the
    model that the client's last training came to; features are what the last layer gets (the paper's come from a
    projection head of its own). Before a first training there is no contrast, and with µ = 0 it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        mu: µ ≥ 0.
        tau: the temperature τ > 0.
    """

    def __init__(self, session: Session, mu: float, tau: float) -> None:
        check(not_negative(mu), "algorithm.mu", "0 or more (0 is FedAvg)", mu)
        check(positive(tau), "algorithm.tau", "a positive number", tau)
        check_end_to_end(session)
        super().__init__(session)
        self.mu, self.tau = mu, tau

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return a learner with the contrast, once there is a model to part from."""
        previous = self.session.stored(_PREVIOUS)
        if not self.mu or not previous:
            return super().learner(network, hooks, names)
        buffers = {name: tensor.clone() for name, tensor in network.buffers.items()}
        received = network.twin(hooks.reference or network.parameters, buffers)
        networks = [network, received, network.twin(previous, self.session.stored(_PREVIOUS_BUFFERS))]
        self.features = Features(networks, self.session.workspace.layers[-1].name)
        own = None if names is None else list(names)
        task = Task(network, self.told.training, self.lr, own, hooks, self.objective)
        return FeatureContrast(task, self.features, self.mu, self.tau)

    def keep(self, trained: Trained) -> None:
        """Keep the trained model, from which the next training is to part."""
        super().keep(trained)
        if self.mu:
            self.session.store(_PREVIOUS, trained.weights)
            self.session.store(_PREVIOUS_BUFFERS, trained.buffers)


class FeatureContrast(SeesBatch):
    """Steps along the gradient of a batch's loss and µ times its contrast.

    Args:
        task: what is trained.
        features: of the network that is trained, the global one, and the one before.
        mu: µ.
        tau: τ.
    """

    def __init__(self, task: Task, features: Features, mu: float, tau: float) -> None:
        super().__init__(
            task.network, task.training, task.lr, names=task.names, hooks=task.hooks, objective=task.objective
        )
        self.networks = tuple(features.networks)
        self.features, self.mu, self.tau = features, mu, tau

    def slopes(self, loss: Tensor) -> Sequence[Tensor]:
        """Return the gradients of both."""
        own = self.features.seen[0]
        with torch.no_grad():
            others = [self._held(place) for place in (1, 2)]
        cosines = torch.stack([F.cosine_similarity(own, other) for other in others], 1)
        contrast = -F.log_softmax(cosines / self.tau, 1)[:, 0].mean()
        return super().slopes(loss + self.mu * contrast)

    def _held(self, place: int) -> Tensor:
        """Return the features of a network that is not trained, as it evaluates."""
        self.networks[place].module.eval()
        return self.features.of(place, self.batch.features)
