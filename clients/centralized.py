"""The participant of ``centralized``: trains on all clients' examples together; the baseline without clients."""

from typing import ClassVar

from clients.fedavg import FedAvgClient
from fedlayers.core.federation import Examples


class CentralizedClient(FedAvgClient):
    """Trains on the pooled training examples; what it measures after training belongs to the server.

    Args:
        session: data, model and generators for one message.
    """

    pooled: ClassVar[bool] = True

    def training_examples(self) -> Examples:
        """Return all clients' training examples together."""
        return self.session.workspace.federation.pooled_train
