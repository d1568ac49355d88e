"""The participant of ``local``: trains its own model and never takes another's; the baseline without federation."""

from collections.abc import Mapping
from typing import ClassVar

from flwr.app import ArrayRecord
from torch import Tensor

from clients.fedavg import FedAvgClient, as_record
from fedlayers.flower.adapter import records_of


class LocalClient(FedAvgClient):
    """Keeps its model from round to round; the first round starts from the common initial model.

    Args:
        session: this client's data, model and generators for one message.
    """

    evaluated_model: ClassVar[str] = "personal"

    def initial(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the client's own model, or before its first round the initial one."""
        own = records_of(self.session.state, ArrayRecord).get("model")
        if own is None:
            return super().initial(received)
        device = self.session.workspace.device
        return {name: tensor.to(device) for name, tensor in own.to_torch_state_dict().items()}

    def evaluated(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the client's own model."""
        return self.initial(received)

    def keep(self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
        """Keep the trained model, buffers included."""
        self.session.state["model"] = as_record(parameters)
        if buffers:
            self.session.state["buffers"] = as_record(buffers)
