"""FedRep's participant: the head that is its own first, then the body that all share.

References:
    Collins, Hassani, Mokhtari & Shakkottai 2021, Exploiting Shared Representations for Personalized Federated Learning,
    ICML (arXiv 2102.07078), algorithm 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.learners.base import Hooks, Learner
from clients.measuring import Model
from clients.network import Network
from clients.observers import Observer
from clients.onlookers import of_every_part
from clients.parts.fine_tuning import adapted
from clients.training import LocalResult
from fedlayers.core.checks import check, not_negative
from fedlayers.flower.session import OPTIMIZER, Session

_HEAD_OPTIMIZER = "head_optimizer"


class FedRepClient(FedAvgClient):
    """Trains the layers that stay with it, with the others held, then the others for as long as ``training`` says.

    Which layers stay is the plan's matter. If none do, this is FedAvg, bit for bit. The training loss is that of the
    second part.

    Args:
        session: this client's data, model and generators for one message.
        head_epochs: passes over the examples for the layers that stay, 0 or more.
    """

    def __init__(self, session: Session, head_epochs: float) -> None:
        check(not_negative(head_epochs), "algorithm.head_epochs", "0 or more", head_epochs)
        super().__init__(session)
        self.head_epochs = head_epochs
        self.head: Learner | None = None

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return the learner of what is shared, and make that of the rest."""
        body = list(self.session.plan.travelling(dict.fromkeys(self.session.names)))
        head = [name for name in self.session.names if name not in body]
        if not head:
            return super().learner(network, hooks, names)
        self.head = super().learner(network, hooks, head)
        return super().learner(network, hooks, body)

    def unseen_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the shared layers with a head that is drawn and trained for ``head_epochs``, as the paper does."""
        session = self.session
        own = [name for name in session.names if name not in session.received]
        if not own:
            return super().unseen_models(received)
        training = replace(session.workspace.config.training, epochs=self.head_epochs, steps=None)
        return {"personal": adapted(self, received, training, own)} if self.head_epochs and session.round else {}

    def train(self, learner: Learner, observers: Sequence[Observer] = (), state: str = OPTIMIZER) -> LocalResult:
        """Train the head, then the body."""
        observed_s = 0.0
        if self.head is not None and self.head_epochs:
            told = self.told
            self.told = replace(told, training=replace(told.training, epochs=self.head_epochs, steps=None))
            observed_s = super().train(self.head, of_every_part(observers), _HEAD_OPTIMIZER).observed_s
            self.told = told
        result = super().train(learner, observers, state)
        return replace(result, observed_s=observed_s + result.observed_s)
