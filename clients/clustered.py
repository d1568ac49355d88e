"""The participant of algorithms with a model for each cluster of clients."""

from collections.abc import Mapping

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.measuring import Model
from fedlayers.core.checks import check
from fedlayers.flower.session import Session


class ClusteredClient(FedAvgClient):
    """Trains and evaluates its cluster's model, which it is sent; it is not the global one, so it counts as personal.

    Args:
        session: this client's data, model and generators for one message.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        # Without a session only the arguments are tried.
        if session is not None and session.workspace.initial_buffers:
            own = session.workspace.config.training.buffers
            why = "statistics averaged over all clients would not fit the weights of a cluster"
            check(own == "local", "training.buffers", "local with clusters and batch normalisation", own, why)

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the model of its cluster."""
        return {"personal": Model(received, self.buffers())}

    def unseen_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the global model: who never trained is in no cluster."""
        return {"global": Model(received, self.buffers())}
