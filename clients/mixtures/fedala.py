"""FedALA's participant: before it trains it learns, number by number, how much of the global model it takes over.

References:
    Zhang, Hua, Wang, Song, Xue, Ma & Guan 2023, FedALA: Adaptive Local Aggregation for Personalized Federated Learning,
    AAAI (arXiv 2212.01197), algorithm 1 and equations 4 and 5.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from clients.fedavg import FedAvgClient
from clients.measuring import Model
from clients.network import Network, Weights
from clients.trained import Trained
from fedlayers.core.checks import check, count, positive
from fedlayers.core.seeding import torch_generator
from fedlayers.flower.session import Session

# The records of a client's state that hold the last layers of its last model, and its aggregation weights.
_LAST, _WEIGHTS = "last", "aggregation"
# The first time they are learned until the losses of so many passes differ by less (their standard deviation).
_WINDOW, _TOLERANCE, _MOST = 10, 0.1, 100


class FedALAClient(FedAvgClient):
    """Trains from Θ_k + (Θ − Θ_k) ⊙ W in the last layers, Θ the global model and Θ_k what its last training came to.

    W starts as 1, which takes over Θ, and minimises the loss on a share of the training examples at that point, by
    W ← clip(W − η ∇L ⊙ (Θ − Θ_k), 0, 1) batch by batch: until the loss settles the first time, one pass every time
    after it. The other layers take over Θ. The personal model is where the next training would start. Without layers
    it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        layers: how many of the last layers are mixed, 0 to all.
        share: of the training examples that W is learned on, in (0, 1].
        weight_lr: η > 0.
    """

    def __init__(self, session: Session, layers: int, share: float, weight_lr: float) -> None:
        count("algorithm.layers", layers, least=0, otherwise=" (0 is FedAvg)")
        check(0 < share <= 1, "algorithm.share", "in (0, 1]", share)
        check(positive(weight_lr), "algorithm.weight_lr", "a positive number", weight_lr)
        super().__init__(session)
        self.layers, self.share, self.weight_lr = layers, share, weight_lr
        self.learned: Weights = {}
        # Without a session only the arguments are tried.
        if session is not None:
            plan = session.workspace.config.plan.name
            check(plan == "all", "plan", "all with an algorithm that mixes a client's model with the global one", plan)
            most = len(session.workspace.layers)
            check(layers <= most, "algorithm.layers", f"at most {most}", layers, "the model has no more")

    def initial(self, received: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the global model, with the last layers mixed once the client has trained."""
        own = self.session.stored(_LAST)
        if not own:
            return received
        self.learned = self._learn(received, own)
        return received | _mixed(received, own, self.learned)

    def keep(self, trained: Trained) -> None:
        """Keep the last layers, and W."""
        super().keep(trained)
        last = self.session.workspace.layers[-self.layers :] if self.layers else ()
        if last:
            self.session.store(_LAST, {name: trained.weights[name] for layer in last for name in layer.names})
        if self.learned:
            self.session.store(_WEIGHTS, self.learned)

    def evaluated_models(self, received: dict[str, Tensor]) -> Mapping[str, Model]:
        """Return the global model and, once the client has trained, where its next training would start."""
        found = super().evaluated_models(received)
        return (
            {**found, "personal": Model(self.initial(received), self.buffers())}
            if self.session.stored(_LAST)
            else found
        )

    def _learn(self, received: Weights, own: Weights) -> dict[str, Tensor]:
        """Return W after it was learned."""
        session, workspace = self.session, self.session.workspace
        kept = session.stored(_WEIGHTS)
        weights = kept or {name: torch.ones_like(tensor) for name, tensor in own.items()}
        network = Network(workspace.module, {name: tensor.clone() for name, tensor in received.items()}, self.buffers())
        examples = self.training_examples()
        generator = torch_generator(
            workspace.config.training_seed, "aggregation weights", session.round, session.client
        )
        chosen = torch.randperm(len(examples), generator=generator)[: max(1, round(self.share * len(examples)))]
        batches = [examples.batch(part) for part in torch.split(chosen, workspace.config.training.batch_size)]
        leaves = {name: network.parameters[name].requires_grad_() for name in own}

        def step(features: Tensor, labels: Tensor) -> float:
            for name, mixed in _mixed(received, own, weights).items():
                leaves[name].data.copy_(mixed)
            loss = self.objective.mean(network(features.to(workspace.device)), labels.to(workspace.device))
            for name, slope in zip(leaves, torch.autograd.grad(loss, [*leaves.values()]), strict=True):
                weights[name] = (weights[name] - self.weight_lr * slope * (received[name] - own[name])).clamp(0, 1)
            return float(loss.detach())

        def learn() -> None:
            network.module.eval()
            losses: list[float] = []
            while len(losses) < (1 if kept else _MOST):
                losses.append(float(np.mean([step(*batch) for batch in batches])))
                if len(losses) > _WINDOW and np.std(losses[-_WINDOW:]) < _TOLERANCE:
                    break

        network.held(learn)
        return weights


def _mixed(received: Weights, own: Weights, weights: Weights) -> dict[str, Tensor]:
    return {name: last + (received[name] - last) * weights[name] for name, last in own.items()}
