"""What participants with a control variate share: a correction of every gradient, renewed after training."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.network import Weights
from clients.trained import Trained

# The record of a client's state, and of messages, that holds control variates.
CONTROL = "control"


class ControlVariateClient(FedAvgClient):
    """Adds a correction to the gradients of the layers that were received; it keeps a control variate c_k, at first 0.

    A subclass says what is added (:meth:`correction`) and what c_k becomes (:meth:`renewed`).

    Args:
        session: this client's data, model and generators for one message.
    """

    @abstractmethod
    def correction(self) -> Weights:
        """Return what is added to gradients, by name; what is not named stays as it is."""

    @abstractmethod
    def renewed(self, trained: Trained) -> dict[str, Tensor]:
        """Return c_k after training, of all layers that were received."""

    @cached_property
    def control(self) -> Weights:
        """c_k as it was before this training; {} if the client has not trained yet."""
        return self.session.stored(CONTROL)

    @cached_property
    def _added(self) -> Weights:
        return self.correction()

    def adjust_gradients(self, gradients: dict[str, Tensor], parameters: Weights, reference: Weights) -> None:
        """Add the correction."""
        for name in gradients.keys() & self._added.keys():
            gradients[name].add_(self._added[name])

    def keep(self, trained: Trained) -> None:
        """Keep the new c_k."""
        super().keep(trained)
        self.session.store(CONTROL, self.renewed(trained))


def update_of(client: FedAvgClient, trained: Trained) -> Mapping[str, Tensor]:
    """Return w − w_k, of all layers that were received."""
    return {name: trained.received[name] - trained.weights[name] for name in client.session.received}
