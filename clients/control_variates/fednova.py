"""FedNova's participant: FedAvg's, that tells how far it went.

References:
    Wang, Liu, Liang, Joshi & Poor 2020, Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization, NeurIPS (arXiv 2007.07481).
"""

from typing import Any, ClassVar

import numpy as np

from clients.control_variates.descent import check_descent, length
from clients.fedavg import FedAvgClient
from clients.trained import Trained
from fedlayers.flower.session import Scalars, Session


class FedNovaClient(FedAvgClient):
    """Trains as FedAvg's does, and sends a, how far its steps move along one gradient.

    Args:
        session: this client's data, model and generators for one message.
    """

    sends: ClassVar[tuple[str, ...]] = (*FedAvgClient.sends, "length")

    def __init__(self, session: Session) -> None:
        check_descent(session)
        super().__init__(session)
        self.length = 0.0

    def keep(self, trained: Trained) -> None:
        """Count how far training went."""
        super().keep(trained)
        self.length = length(self.told.training, self.lr, trained.result.steps)

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Train and add the metric ``length``."""
        weights, count, found = super().fit(parameters, config)
        return weights, count, {**found, "length": self.length}
