"""FedBABU's participant: the head stays as it was drawn, and is adapted only where a personal model is measured.

References:
    Oh, Kim & Yun 2022, FedBABU: Toward Enhanced Representation for Federated Image Classification, ICLR
    (arXiv 2106.06042), algorithm 1.
"""

from collections.abc import Iterable

from clients.learners.base import Hooks, Learner
from clients.network import Network
from clients.parts.fine_tuning import FineTunedClient
from fedlayers.core.checks import count, one_of
from fedlayers.core.layers import Layer
from fedlayers.core.plans.kinds import split_layers
from fedlayers.flower.session import Session


class FedBABUClient(FineTunedClient):
    """Trains the body alone; the last layers never change, on no client and on the server.

    The personal model is the global one after fine-tuning of all layers, of the head, or of the body. Without a head
    and fine-tuning it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        head_layers: how many layers are the head, 0 or more.
        tuning_epochs: passes over the client's training examples before it measures its model, 0 or more.
        tuned: what they adapt: ``all``, ``head`` or ``body``.
    """

    def __init__(self, session: Session, head_layers: int, tuning_epochs: float, tuned: str) -> None:
        count("algorithm.head_layers", head_layers, least=0)
        one_of("algorithm.tuned", tuned, ("all", "head", "body"))
        super().__init__(session, tuning_epochs)
        self.head_layers, self.part = head_layers, tuned
        # Without a session only the arguments are tried.
        if session is not None:
            self._split()

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return the learner of the body."""
        return super().learner(network, hooks, self._names("body") if self.head_layers else names)

    def tuned_names(self) -> list[str] | None:
        """Return the names of the part that is adapted."""
        return self._names(self.part) if self.head_layers and self.part != "all" else None

    def _names(self, part: str) -> list[str]:
        body, head = self._split()
        return [name for layer in (body if part == "body" else head) for name in layer.names]

    def _split(self) -> tuple[tuple[Layer, ...], tuple[Layer, ...]]:
        """Return body and head.

        Raises:
            UserError: the head would be the whole model.
        """
        return split_layers(self.session.workspace.layers, self.head_layers, "algorithm.head_layers")
