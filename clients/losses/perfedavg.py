"""Per-FedAvg's participant: it looks for a model that is good after one step on a client's examples.

References:
    Fallah, Mokhtari & Ozdaglar 2020, Personalized Federated Learning with Theoretical Guarantees: A Model-Agnostic
    Meta-Learning Approach, NeurIPS (arXiv 2002.07948), algorithm 1 with the approximations of section 5.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from clients.batches import Batch
from clients.learners.base import Hooks, Learner
from clients.learners.end_to_end import check_end_to_end
from clients.losses.base import SeesBatch
from clients.network import Network
from clients.parts.fine_tuning import FineTunedClient
from fedlayers.config.schema.training import Training
from fedlayers.core.checks import check, not_negative, one_of, positive
from fedlayers.flower.session import Session


class PerFedAvgClient(FineTunedClient):
    """Minimises f(w − α ∇f(w)) over w by w ← w − β (I − α ∇²f(w)) ∇f(w − α ∇f(w)), β the run's learning rate.

    Each batch is cut into the independent ones that the paper draws: ∇f(w) is of the first part, the outer gradient g
    of the second. ``first_order`` (FO) leaves the Hessian out; ``hessian_free`` (HF) takes
    ∇²f(w) g ≈ (∇f(w + δ g) − ∇f(w − δ g)) / 2δ of the third part. The personal model is the global one after one step
    of length α on all training examples' batches. With α = 0 it is FedAvg, bit for bit.

    Args:
        session: this client's data, model and generators for one message.
        alpha: α ≥ 0.
        variant: ``first_order`` or ``hessian_free``.
        delta: δ > 0, of ``hessian_free``.
    """

    def __init__(self, session: Session, alpha: float, variant: str, delta: float) -> None:
        check(not_negative(alpha), "algorithm.alpha", "0 or more (0 is FedAvg)", alpha)
        one_of("algorithm.variant", variant, ("first_order", "hessian_free"))
        check(positive(delta), "algorithm.delta", "a positive number", delta)
        check_end_to_end(session)
        super().__init__(session, 1.0 if alpha else 0.0)
        self.alpha, self.delta = alpha, delta if variant == "hessian_free" else None

    def learner(self, network: Network, hooks: Hooks, names: Iterable[str] | None = None) -> Learner:
        """Return the learner of such steps."""
        if not self.alpha:
            return super().learner(network, hooks, names)
        found = MetaSteps(network, self.told.training, self.lr, names=names, hooks=hooks, objective=self.objective)
        found.alpha, found.delta = self.alpha, self.delta
        return found

    def tuning(self) -> Training:
        """Return one plain step of length α on a batch."""
        training = replace(super().tuning(), steps=1, optimizer="sgd", momentum=0.0, schedule="constant", warmup=0)
        return replace(training, lr=self.alpha)


class MetaSteps(SeesBatch):
    """Takes gradients after a step on another part of the batch.

    The arguments are those of :class:`clients.learners.end_to_end.EndToEnd`.
    """

    alpha: float
    # None: without the Hessian.
    delta: float | None

    def slopes(self, loss: Tensor) -> Sequence[Tensor]:
        """Return what takes the place of the gradients; the batch's whole loss is for the record."""
        inner, outer, third = cut(self.batch, 2 if self.delta is None else 3)
        before = [weight.detach().clone() for weight in self.leaves]
        gradient = self._at(before, self._at(before, None, 0.0, inner), -self.alpha, outer)
        if self.delta is not None:
            up, down = (self._at(before, gradient, sign * self.delta, third) for sign in (1, -1))
            product = [(a - b) / (2 * self.delta) for a, b in zip(up, down, strict=True)]
            gradient = [g - self.alpha * h for g, h in zip(gradient, product, strict=True)]
        self._place(before, None, 0.0)
        return gradient

    def _at(
        self, start: Sequence[Tensor], along: Sequence[Tensor] | None, far: float, batch: Batch
    ) -> Sequence[Tensor]:
        """Return the gradients of a batch at weights so far along others."""
        self._place(start, along, far)
        return super().slopes(self.loss_of(batch))

    @torch.no_grad()
    def _place(self, start: Sequence[Tensor], along: Sequence[Tensor] | None, far: float) -> None:
        for place, weight in enumerate(self.leaves):
            weight.copy_(start[place] if along is None else start[place] + far * along[place])


def cut(batch: Batch, parts: int) -> tuple[Batch, Batch, Batch]:
    """Return a batch in three parts, or in two and the second one again; one of few examples stands for all parts."""
    count = max(1, min(parts, len(batch) // 2))
    pairs = zip(batch.features.chunk(count), batch.labels.chunk(count), strict=True)
    found = [Batch(features, labels) for features, labels in pairs]
    found += [found[-1]] * (3 - len(found))
    return found[0], found[1], found[2]
