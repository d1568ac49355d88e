"""FedLC's participant: margins keep classes that a client hardly has from being pushed away.

References:
    Zhang, Li, Li, Xu, Wu, Ding & Wu 2022, Federated Learning with Label Distribution Skew via Logits Calibration, ICML
    (arXiv 2209.00189), equation 8.
"""

from functools import cached_property

from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.losses.one_class import check_one_class
from fedlayers.core.checks import check, not_negative
from fedlayers.flower.session import Session
from fedlayers.objectives.class_weights import ClassNumbers
from fedlayers.objectives.objective import Objective

# What counts as the number of a class that the client does not have.
_NONE = 1e-8


class FedLCClient(FedAvgClient):
    """Trains on the run's objective of z_c − τ n_c^(−1/4): z the logits, n_c the client's training examples of class c.

    A class that it does not have counts as one with 10⁻⁸ of an example, a margin of 100 τ. The sum below the paper's
    fraction leaves out the own class, and has no lower bound; this is softmax over all classes, as in public code. What
    is measured is the objective without margins. With τ = 0 it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        tau: τ ≥ 0.
    """

    def __init__(self, session: Session, tau: float) -> None:
        check(not_negative(tau), "algorithm.tau", "0 or more (0 is FedAvg)", tau)
        check_one_class(session, "fedlc")
        super().__init__(session)
        self.tau = tau

    @cached_property
    def objective(self) -> Objective:
        """The run's objective with the margins."""
        workspace, client = self.session.workspace, self.session.client
        plain = workspace.objective_of(client)
        counts = workspace.federation.class_counts(client).double().clamp(min=_NONE)
        return Calibrated(plain, ClassNumbers(self.tau * counts.pow(-0.25))) if self.tau else plain


class Calibrated(Objective):
    """An objective of outputs less a margin for each class.

    Args:
        plain: the objective.
        margins: one for each class.
    """

    def __init__(self, plain: Objective, margins: ClassNumbers) -> None:
        self.plain, self.margins = plain, margins

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.plain.name

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each example."""
        return self.plain.losses(outputs - self.margins.like(outputs), labels)
