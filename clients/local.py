"""The participant of ``local``: trains its own model and never takes another's; the baseline without federation."""

from collections.abc import Mapping

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.measuring import Model
from clients.trained import Trained
from fedlayers.flower.contents import BUFFERS
from fedlayers.flower.session import MODEL


class LocalClient(FedAvgClient):
    """Keeps its model from round to round; the first round starts from the common initial model.

    Args:
        session: this client's data, model and generators for one message.
    """

    def initial(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the client's own model, or before its first round a copy of the initial one, its own from then on."""
        own = self.session.stored(MODEL)
        return own or {name: tensor.clone() for name, tensor in received.items()}

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the client's own model."""
        return {"personal": Model(self.initial(received), self.buffers())}

    def keep(self, trained: Trained) -> None:
        """Keep the trained model, buffers included."""
        self.session.store(MODEL, trained.weights)
        if trained.buffers:
            self.session.store(BUFFERS, trained.buffers)
