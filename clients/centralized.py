"""The participant of ``centralized``: trains on all clients' records together; the baseline without clients."""

from typing import ClassVar

from clients.fedavg import FedAvgClient
from fedlayers.core.federation import Records


class CentralizedClient(FedAvgClient):
    """Trains on the pooled training records; what it measures after training belongs to the server.

    Args:
        session: data, model and generators for one message.
    """

    pooled: ClassVar[bool] = True

    def training_records(self) -> Records:
        """Return all clients' training records together."""
        return self.session.workspace.federation.pooled_train
