"""The learner of the forward-forward network: every layer tells own labels from wrong ones, on its own.

References:
    Hinton 2022, The Forward-Forward Algorithm, arXiv:2212.13345.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from clients.batches import Batch
from clients.learners.base import Task
from clients.learners.groups import InGroups, groups_of
from fedlayers.core.errors import UserError
from fedlayers.core.schedule import Step
from fedlayers.core.stages import applied, stages


@runtime_checkable
class _SeesLabels(Protocol):
    """What the model must have beside its layers, see :class:`fedlayers.models.forward_forward.ForwardForward`."""

    def after_label(self) -> Any:
        """Return what is applied, layer by layer, once the label stands beside the example."""


class ForwardForwardLearner(InGroups):
    """Trains layer l by the mean of log(1 + exp(∓(‖a_l‖² − θ))): − for an example with its label, + with a wrong one.

    Half of a batch, drawn at every step, has a wrong label each, all others alike likely; of an odd batch the smaller
    half. What a layer sees of the one before it is taken as given. The loss that is told is the mean over layers; the
    objective of the run is not used.

    Args:
        task: what is trained, a :class:`fedlayers.models.forward_forward.ForwardForward`.
    """

    def __init__(self, task: Task) -> None:
        self.module: Any = task.network.module
        found = stages(self.module)
        super().__init__(task, groups_of(task, {stage.name: stage.modules for stage in found}))
        self.generator = torch.Generator().manual_seed(task.stream)
        self.losses = ()

    @classmethod
    def check_model(cls, module: nn.Module, features: Tensor, classes: int, **options: Any) -> list[str]:
        """Refuse a model of another kind, and one class, for which there is no wrong label."""
        kind = type(module).__name__
        if not isinstance(module, _SeesLabels):
            raise UserError(
                f"learner=forward_forward must have a model that sees labels, got {kind}; choose model=forward_forward"
            )
        if classes < 2:
            raise UserError(f"learner=forward_forward must have two classes or more, got {classes}; choose other data")
        return []

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take one step of every layer, and return the mean of their losses before it."""
        labels, sign = self.labelled(batch.labels)
        given = self.module.with_label.beside(batch.features, one_hot(labels, self.module.classes))
        losses: list[Tensor] = []
        for modules in self.module.after_label():
            h = applied(modules, given)
            losses.append(softplus(-sign * (self.module.goodness(h) - self.module.theta)).mean())
            given = h.detach()
        each = torch.stack(losses)
        self.begin(step)
        # Of all layers at once: their graphs have nothing in common but the algorithm's own term.
        self.move(self.slopes(each.sum()), step)
        return each.detach().mean()

    def labelled(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the label that each example is shown with, and 1 where that is its own, −1 where it is wrong."""
        order = torch.randperm(len(labels), generator=self.generator)
        away = torch.randint(1, self.module.classes, (len(labels),), generator=self.generator)
        is_wrong = (order < len(labels) // 2).to(labels.device)
        wrong = (labels + away.to(labels.device)) % self.module.classes
        return torch.where(is_wrong, wrong, labels), 1 - 2 * is_wrong.float()
