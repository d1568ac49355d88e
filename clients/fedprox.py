"""FedProx's participant: FedAvg's, with a proximal term that holds local training near the global model.

References:
    Li et al. 2020, Federated Optimization in Heterogeneous Networks, MLSys (arXiv 1812.06127), equation 2.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.obedience import proximal_term
from fedlayers.core.checks import check, not_negative
from fedlayers.flower.orders import OBEYED
from fedlayers.flower.session import Session


class FedProxClient(FedAvgClient):
    """Minimises F_k(w) + (µ/2) ‖w − wᵗ‖², wᵗ the global weights received this round, over the layers received.

    Args:
        session: this client's data, model and generators for one message.
        mu: the proximal strength µ ≥ 0; 0 gives plain FedAvg.
    """

    # Not proximal-mu: its strength is mu.
    extra_loss_adds_up: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = tuple(key for key in OBEYED if key != "proximal-mu")

    def __init__(self, session: Session, mu: float) -> None:
        check(not_negative(mu), "algorithm.mu", "0 or more (0 is FedAvg)", mu)
        super().__init__(session)
        self.mu = mu

    def extra_loss(self, parameters: Mapping[str, Tensor], reference: Mapping[str, Tensor]) -> Tensor | None:
        """Return (µ/2) ‖w − wᵗ‖², or None if µ is 0 or no layer was received."""
        if self.mu == 0 or not self.session.received:
            return None
        return proximal_term(self.mu, {name: parameters[name] for name in self.session.received}, reference)
