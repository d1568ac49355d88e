"""The learner of one network and one optimizer: the gradient of a batch's loss, and a step along it."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from clients.batches import Batch
from clients.learners.base import Hooks, Learner, Task
from clients.network import Network, Weights
from clients.optimizers import clipped, make_optimizer
from clients.schedules import Rate
from fedlayers.config.schema.training import Training
from fedlayers.core.checks import check
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from fedlayers.flower.session import Session
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from fedlayers.objectives.objective import Objective
from fedlayers.objectives.step_losses import StepLosses


class EndToEnd(Learner):
    """Moves all chosen weights of a network at once.

    Args:
        network: what is trained.
        training: optimizer (its state is fresh, unless one is loaded) and clipping.
        lr: the learning rate, or what gives that of each step.
        names: which weights are trained, some of the network's; None for all that require gradients in its module.
            The others stay: they have neither gradient nor decay.
        hooks: what an algorithm changes about a step.
        objective: what is minimised.

    Raises:
        UserError: there is nothing to train, or a name is none of the network's.
    """

    def __init__(
        self,
        network: Network,
        training: Training,
        lr: Rate,
        *,
        names: Iterable[str] | None = None,
        hooks: Hooks | None = None,
        objective: Objective = CROSS_ENTROPY,
    ) -> None:
        super().__init__([network], {name: network.parameters[name] for name in chosen(network, names)})
        self.network = network
        self.training, self.lr, self.objective = training, lr, objective
        self.clip_norm = training.clip_norm
        self.hooks = hooks or Hooks()
        hooked = self.hooks.extra_loss or self.hooks.adjust_gradients
        copied = self.hooks.reference is None and hooked
        start = {name: tensor.detach().clone() for name, tensor in network.parameters.items()} if copied else {}
        self.reference = start if self.hooks.reference is None else self.hooks.reference
        self.leaves = list(self.trained.values())
        self.optimizer = make_optimizer(training, self.leaves, 0.0 if callable(lr) else lr)
        self.loss = StepLosses(objective, self.leaves[0].device)
        self.losses = (self.loss,)

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take one step along the gradient of the batch's mean loss."""
        self.begin(step)
        loss = self.loss(self.network(batch.features), batch.labels, step)
        self.move(self.slopes(loss), step)
        return loss.detach()

    def begin(self, step: Step) -> None:
        """Set the learning rate of a step, before its gradients: an algorithm may ask for it there."""
        if callable(self.lr):
            self.optimizer.lr = self.lr(step)

    def slopes(self, loss: Tensor) -> Sequence[Tensor]:
        """Return the gradients of a loss and the algorithm's own term, in the order of the weights."""
        return self._gradients_of(self._with_extra(loss))

    def move(self, gradients: Sequence[Tensor], step: Step) -> None:
        """Change the weights by one step along gradients."""
        if self.clip_norm is not None:
            gradients = self.clip(gradients, self.clip_norm)
        self.optimizer.step(gradients)
        if self._is_watched:
            self._gradients = dict(zip(self.trained, gradients, strict=True))

    def clip(self, gradients: Sequence[Tensor], norm: float) -> list[Tensor]:
        """Return the gradients, scaled down together if their common norm exceeds ``norm``."""
        return clipped(gradients, norm)

    def state(self) -> dict[str, Tensor]:
        """Return what the optimizer remembers of each weight, under ``<what>/<name>``."""
        pairs = zip(self.trained, self.optimizer.state(), strict=True)
        return {f"{what}/{name}": own for name, kept in pairs for what, own in kept.items()}

    def load(self, state: Weights) -> None:
        """Go on from a state that :meth:`state` returned; weights of which it has nothing start afresh."""
        kept: dict[str, dict[str, Tensor]] = {name: {} for name in self.trained}
        for key, own in state.items():
            what, _, name = key.partition("/")
            kept.get(name, {})[what] = own
        self.optimizer.load(list(kept.values()))

    def _with_extra(self, loss: Tensor) -> Tensor:
        if self.hooks.extra_loss is None:
            return loss
        extra = self.hooks.extra_loss(self.network.parameters, self.reference)
        return loss if extra is None else loss + extra

    def _gradients_of(self, loss: Tensor) -> Sequence[Tensor]:
        found = torch.autograd.grad(loss, self.leaves, materialize_grads=True)
        adjust = self.hooks.adjust_gradients
        if adjust is None:
            return found
        # Copies, because gradients of different weights may share memory and the hook may change them in place.
        named = {name: gradient.clone() for name, gradient in zip(self.trained, found, strict=True)}
        with torch.no_grad():
            adjust(named, self.network.parameters, self.reference)
        return [named[name] for name in self.trained]


def end_to_end(task: Task) -> EndToEnd:
    """Return the learner of ``learner=end_to_end``."""
    return EndToEnd(task.network, task.training, task.lr, names=task.names, hooks=task.hooks, objective=task.objective)


def check_end_to_end(session: Session) -> None:
    """Raise UserError if another learner is chosen than the algorithm's; without a session nothing is known."""
    if session is not None:
        node, usual = session.workspace.config.learner, f"{__name__}.{end_to_end.__name__}"
        target = str(node["_target_"])
        allowed = "end_to_end with this algorithm, which changes what a step is"
        check(target == usual, "learner", allowed, node.get("name", target))


def chosen(network: Network, names: Iterable[str] | None) -> list[str]:
    """Return the names to train, in the module's order.

    Raises:
        UserError: there is nothing to train, or a name is none of the network's.
    """
    known = dict(network.module.named_parameters())
    if names is None:
        found = [name for name, own in known.items() if own.requires_grad]
        if not found:
            kind = type(network.module).__name__
            raise UserError(f"model must have parameters that require gradients, got none in {kind}")
        return found
    wanted = set(names)
    strange = sorted(wanted - known.keys())
    if strange or not wanted:
        got = repr(strange[0]) if strange else "none"
        raise UserError(
            f"names must be of weights of the model that are trained, such as {next(iter(known))!r}, got {got}; "
            "leave them out to train all"
        )
    return [name for name in known if name in wanted]
