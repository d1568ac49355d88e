"""Learners of a model that is a mixture m(v, w) of the client's own weights v and the shared weights w."""

from collections.abc import Callable

import torch
from torch import Tensor

from clients.batches import Batch
from clients.learners.base import Hooks, Learner
from clients.learners.end_to_end import EndToEnd
from clients.network import Network, Weights
from clients.optimizers import make_optimizer
from clients.schedules import Rate
from clients.second_models.base import Beside
from fedlayers.config.schema.training import Training
from fedlayers.core.schedule import Step
from fedlayers.objectives.objective import Objective

# Changes gradients of the mixture, by name, into those of v, in place.
ToOwn = Callable[[dict[str, Tensor]], None]


class MixtureLearner(EndToEnd):
    """Moves v by the gradient at m(v, w).

    Args:
        network: computes with m(v, w), in tensors of its own.
        own: name -> v.
        to_own: see :data:`ToOwn`.
        training, lr, objective: see :class:`clients.learners.end_to_end.EndToEnd`.
    """

    def __init__(
        self, network: Network, own: Weights, to_own: ToOwn, training: Training, lr: Rate, objective: Objective
    ) -> None:
        hooks = Hooks({}, adjust_gradients=lambda gradients, *_: to_own(gradients))
        super().__init__(network, training, lr, names=own, hooks=hooks, objective=objective)
        self.optimizer = make_optimizer(training, [own[name] for name in self.trained], 0.0 if callable(lr) else lr)


class MixedSteps(Beside):
    """On each batch a step of v and one of w, both from gradients at the weights before it, then the new mixture.

    Args:
        shared: the learner of w.
        own: the learner of v.
        mix: writes m(v, w) into the own learner's network.
    """

    def __init__(self, shared: Learner, own: Learner, mix: Callable[[], None]) -> None:
        super().__init__({"global": shared, "personal": own})
        self.mix = mix

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take both steps, and return the loss of the shared model."""
        self.parts["personal"].step(batch, step)
        loss = self.parts["global"].step(batch, step)
        with torch.no_grad():
            self.mix()
        return loss
