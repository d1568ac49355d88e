"""FedProto's participant: a model of its own whose features of a class stay near what all clients have for it.

References:
    Tan, Long, Liu, Zhou, Lu, Jiang & Zhang 2022, FedProto: Federated Prototype Learning across Heterogeneous Clients,
    AAAI (arXiv 2105.00243), algorithm 1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from clients.learners.base import Hooks, Learner, Task
from clients.learners.end_to_end import check_end_to_end
from clients.local import LocalClient
from clients.losses.base import SeesBatch
from clients.losses.features import Features, Listening
from clients.losses.one_class import check_one_class
from clients.network import Network, Weights
from clients.trained import Trained
from fedlayers.core.checks import check, not_negative
from fedlayers.flower.session import Session

PROTOTYPES, COUNTS = "prototypes", "counts"
_BATCH = 128


class FedProtoClient(Listening, LocalClient):
    """Adds λ times the mean of (z − C_y)² to the loss of a batch, z an example's features, C_y its class's prototype.

    The mean is over examples and features, of examples whose class has a prototype; features are what the last layer
    gets. No weight is shared: after training the client sends the mean features of each of its classes, from which the
    server makes the next prototypes. With λ = 0 its model is that of ``algorithm=local``, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        strength: λ ≥ 0.
    """

    reads: ClassVar[tuple[str, ...]] = (*LocalClient.reads, PROTOTYPES)

    def __init__(self, session: Session, strength: float) -> None:
        check(not_negative(strength), "algorithm.strength", "0 or more (0 is local training)", strength)
        check_one_class(session, "fedproto")
        check_end_to_end(session)
        super().__init__(session)
        self.strength = strength

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return a learner with the distance, once there are prototypes."""
        prototypes = self.session.arrays(PROTOTYPES)
        if not self.strength or not prototypes:
            return super().learner(network, hooks, names)
        self.features = Features([network], self.session.workspace.layers[-1].name)
        own = None if names is None else list(names)
        task = Task(network, self.told.training, self.lr, own, hooks, self.objective)
        return Prototypes(task, self.features, prototypes, self.strength)

    def beside(self, trained: Trained) -> Mapping[str, Weights]:
        """Return the mean features of each class that the client has, by the class's number, and of how many."""
        workspace, examples = self.session.workspace, self.training_examples()
        network = Network(workspace.module, trained.weights, trained.buffers)
        features, sums = Features([network], workspace.layers[-1].name), dict[int, Tensor]()
        counts: Counter[int] = Counter()

        def add() -> None:
            network.module.eval()
            for first in range(0, len(examples), _BATCH):
                inputs, labels = examples.batch(torch.arange(first, min(first + _BATCH, len(examples))))
                found = features.of(0, inputs.to(workspace.device)).double()
                for label in set(labels.tolist()):
                    own = found[labels.to(found.device) == label]
                    counts[label] += len(own)
                    sums[label] = sums[label] + own.sum(0) if label in sums else own.sum(0)

        with torch.no_grad(), features.listening():
            network.held(add)
        means = {str(label): (sums[label] / counts[label]).float() for label in sorted(sums)}
        return {PROTOTYPES: means, COUNTS: {name: torch.tensor(float(counts[int(name)])) for name in means}}


class Prototypes(SeesBatch):
    """Steps along the gradient of a batch's loss and λ times its features' distance from prototypes.

    Args:
        task: what is trained.
        features: of its network.
        prototypes: class's number, as text -> its prototype, shape (d,).
        strength: λ.
    """

    def __init__(self, task: Task, features: Features, prototypes: Weights, strength: float) -> None:
        super().__init__(
            task.network, task.training, task.lr, names=task.names, hooks=task.hooks, objective=task.objective
        )
        self.features, self.strength = features, strength
        self.known = torch.tensor(sorted(map(int, prototypes)))
        self.prototypes = torch.stack([prototypes[str(label)] for label in self.known.tolist()])
        self.known = self.known.to(self.prototypes.device)

    def slopes(self, loss: Tensor) -> Sequence[Tensor]:
        """Return the gradients of both."""
        own, labels = self.features.seen[0], self.batch.labels
        place = torch.searchsorted(self.known, labels).clamp(max=len(self.known) - 1)
        has = (self.known[place] == labels).to(own.dtype)
        distances = (own - self.prototypes[place]).square().mean(1) * has
        return super().slopes(loss + self.strength * distances.sum() / has.sum().clamp(min=1))
