"""What participants with a second model share: where it starts, how it is kept, and that both are measured."""

from collections.abc import Mapping

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.learners.composed import Composed
from clients.measuring import Model
from clients.network import Network, Weights
from clients.trained import Trained

# The records of a client's state that hold its second model, and what that model's optimizer remembers.
SECOND, SECOND_BUFFERS, SECOND_OPTIMIZER = "second", "second_buffers", "second_optimizer"


class SecondModelClient(FedAvgClient):
    """Has a model of its own, v_k, beside the shared one: it starts as the first global model that the client gets.

    A subclass trains ``second``, which :meth:`prepare` makes, beside the shared model or after it. Both
    are measured: ``global`` is the shared model, after local training this client's copy of it, ``personal`` v_k. The
    shared model follows the federation plan: the layers that stay are those of the client's copy.

    Args:
        session: this client's data, model and generators for one message.
    """

    compared = "global"
    # The personal model from where :meth:`prepare` is called, the weights that its training starts from, and what of
    # it is the client's own, v_k: all, unless a subclass says otherwise.
    second: Network
    second_start: Weights
    own: Weights

    def prepare(self, network: Network) -> None:
        """Make ``second`` of what the client has kept, ready to be trained beside a network with the shared model."""
        own = self.session.stored(SECOND) or network.parameters
        buffers = self.session.stored(SECOND_BUFFERS) or network.buffers
        self.second_start = own
        copies = [{name: tensor.clone() for name, tensor in found.items()} for found in (own, buffers)]
        self.second = network.twin(*copies)
        self.own = self.second.parameters

    def second_models(self) -> Mapping[str, Network]:
        """Return the personal model."""
        return {"personal": self.second}

    def keep(self, trained: Trained) -> None:
        """Keep v_k, buffers included."""
        super().keep(trained)
        self.session.store(SECOND, self.own)
        if self.second.buffers:
            self.session.store(SECOND_BUFFERS, self.second.buffers)

    def personal(self, received: Weights) -> Weights:
        """Return the weights that are measured as ``personal`` in an evaluation: v_k, before it exists the shared."""
        return self.session.stored(SECOND) or received

    def trained_models(self, trained: Trained) -> Mapping[str, Model]:
        """Return both models as training left them."""
        shared = Model(trained.weights, trained.buffers, trained.start)
        return {"global": shared, "personal": Model(self.second.parameters, self.second.buffers, self.second_start)}

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the global model and the client's own."""
        buffers = self.buffers()
        own = self.session.stored(SECOND_BUFFERS) or buffers
        return {"global": Model(received, buffers), "personal": Model(self.personal(received), own)}


class Beside(Composed):
    """Two networks on the same batches: observers see the first by the model's names, the other after ``personal/``."""

    @property
    def weights(self) -> Weights:
        """Name -> the weights of both networks."""
        first, second = self.networks
        return {**first.parameters, **personal_names(second.parameters)}

    def release(self) -> Weights:
        """Return the gradients of the last step of both, and forget them."""
        first, second = (part.release() for part in self.parts.values())
        return {**first, **personal_names(second)}


def personal_names(tensors: Weights) -> dict[str, Tensor]:
    """Return tensors of the personal model under the names by which observers see them."""
    return {f"personal/{name}": tensor for name, tensor in tensors.items()}
