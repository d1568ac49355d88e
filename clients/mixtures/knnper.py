"""kNN-Per's participant: the global model's answer, mixed with that of the nearest of the client's own examples.

References:
    Marfoq, Neglia, Vidal & Kameni 2022, Personalized Federated Learning through Local Memorization, ICML
    (arXiv 2111.09360), section 3.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.losses.features import Features
from clients.measuring import Model
from clients.network import Network
from fedlayers.core.checks import check, count, positive
from fedlayers.core.federation import Examples
from fedlayers.flower.session import Session
from metrics.predictions.predicting import Predictions, compared

_BATCH = 128
_SHARES = np.linspace(0, 1, 11).tolist()
# Where there is nothing to tune it on.
_HALF = 0.5


class KNNPerClient(FedAvgClient):
    """Trains as FedAvg does; its personal model answers λ p_kNN + (1 − λ) p, p the global model's probabilities.

    p_kNN(y) is proportional to the sum of exp(−d / σ) over those of the k nearest training examples whose class is y, d
    the Euclidean distance of features, which are what the last layer gets. λ is the best of 0, 0.1, …, 1 by the loss
    on the client's validation examples, 0.5 if it has none, unless it is given. Its outputs are the logarithms of these
    probabilities, of none below e^-100. With λ = 0 nothing but the global model is measured: FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        neighbours: k, 1 or more.
        scale: σ > 0, in units of the features.
        share: λ in [0, 1], None for the best one.
    """

    def __init__(self, session: Session, neighbours: int, scale: float, share: float | None) -> None:
        count("algorithm.neighbours", neighbours)
        check(positive(scale), "algorithm.scale", "a positive number", scale)
        allowed = "in [0, 1] (0 is FedAvg), or null for the best one on validation examples"
        check(share is None or 0 <= share <= 1, "algorithm.share", allowed, share)
        super().__init__(session)
        self.neighbours, self.scale, self.share = neighbours, scale, share
        # Without a session only the arguments are tried.
        if session is not None:
            objective = session.workspace.objective
            fits, why = objective.takes_logits and not objective.takes_label_sets, "it mixes probabilities of classes"
            check(fits, "objective", "one that takes logits of classes with algorithm=knnper", objective.name, why)

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the model that came, and its mixture with what the nearest examples say."""
        found = super().evaluated_models(received)
        if self.share == 0 or "client_train" not in self.session.data():
            return found
        buffers = self.buffers()
        return {**found, "personal": Model(received, buffers, answers=self._answers(received, buffers))}

    def unseen_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the same: whoever has training examples can look them up."""
        return self.evaluated_models(received)

    def _answers(self, received: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> Mapping[str, Predictions]:
        """Return what the mixture says on each split."""
        session = self.session
        network = Network(session.workspace.module, received, buffers)
        features = Features([network], session.workspace.layers[-1].name)
        data, objective = session.data(), self.session.workspace.objective_of(session.client)
        classes = len(session.workspace.federation.classes)
        with torch.no_grad(), features.listening():
            seen = network.held(lambda: {scope: self._seen(features, own) for scope, own in data.items()})
        stored, _, labels = seen["client_train"]
        pairs = {}
        for scope, (rows, logits, truth) in seen.items():
            near = votes(rows, stored, labels, self.neighbours, self.scale, classes)
            pairs[scope] = near, logits.double().softmax(1), truth

        def mixed(scope: str, share: float) -> Predictions:
            near, own, truth = pairs[scope]
            return compared((share * near + (1 - share) * own).log().clamp(min=-100), truth, classes, objective)

        share = _HALF if self.share is None else self.share
        if self.share is None and "client_val" in pairs:
            share = min(_SHARES, key=lambda one: float(mixed("client_val", one).losses.mean()))
        return {scope: mixed(scope, share) for scope in pairs}

    def _seen(self, features: Features, examples: Examples) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, float64, outputs and labels of some examples."""
        network, device = features.networks[0], self.session.workspace.device
        network.module.eval()
        found = []
        for chosen in torch.split(torch.arange(len(examples)), _BATCH):
            inputs, labels = examples.batch(chosen)
            outputs = network(inputs.to(device))
            found.append((features.seen[0].double(), outputs, labels.to(device)))
        rows, outputs, labels = (torch.cat(pieces) for pieces in zip(*found, strict=True))
        return rows, outputs, labels


def votes(rows: Tensor, stored: Tensor, labels: Tensor, neighbours: int, scale: float, classes: int) -> Tensor:
    """Return what the nearest stored rows say of others: probabilities of classes, shape (n, C).

    Args:
        rows: shape (n, d), float64.
        stored: shape (m, d), float64, m ≥ 1.
        labels: of the stored ones, shape (m,).
        neighbours: how many count, at most; of equally near ones the first.
        scale: their votes are exp(−distance / scale).
        classes: C.

    Examples:
        >>> stored, labels = torch.tensor([[0.0], [1.0], [9.0]]).double(), torch.tensor([0, 1, 1])
        >>> votes(torch.tensor([[0.0]]).double(), stored, labels, 2, 1.0, 2).numpy().round(3).tolist()
        [[0.731, 0.269]]
    """
    distances = torch.cdist(rows, stored, compute_mode="donot_use_mm_for_euclid_dist")
    near, places = (part[:, :neighbours] for part in distances.sort(dim=1, stable=True))
    shares = (-near / scale).softmax(1)
    found: Tensor = shares.new_zeros(len(rows), classes).scatter_add_(1, labels[places], shares)
    return found
