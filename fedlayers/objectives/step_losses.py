"""An objective inside a training: the loss of each step, and in the end whether the objective was at fault."""

import torch
from torch import Tensor

from fedlayers.core.schedule import Step
from fedlayers.objectives.objective import Objective, ObjectiveError, nan_error


class StepLosses:
    """The mean losses of a training's steps; nothing waits for the device before :meth:`check`.

    Args:
        objective: what is minimised.
        device: where it is.
    """

    def __init__(self, objective: Objective, device: torch.device) -> None:
        self._objective = objective
        if not objective.is_safe:
            self._step, self._first = torch.zeros((2,), dtype=torch.int64, device=device)

    def __call__(self, outputs: Tensor, labels: Tensor, step: Step) -> Tensor:
        """Return the mean loss of a step's batch, a scalar.

        Args:
            outputs: what the model puts out, shape (n, C).
            labels: the classes, shape (n,).
            step: which step of the training it is.

        Raises:
            ObjectiveError: there is not one loss for each example; the text names the step.
        """
        try:
            loss = self._objective.mean(outputs, labels)
        except ObjectiveError as error:
            raise error.at(f"at step {step.number}") from None
        if not self._objective.is_safe:
            # On the device: a look at the numbers would wait for it at every step.
            self._step += 1
            wrong = loss.detach().isnan() & outputs.detach().isfinite().all()
            self._first += self._step * (wrong & (self._first == 0))
        return loss

    def check(self) -> None:
        """Look back at all steps.

        Raises:
            ObjectiveError: it gave NaN for outputs that are numbers; the text names the first step at which it did.
        """
        if not self._objective.is_safe and (step := int(self._first)):
            raise nan_error(self._objective.name).at(f"at step {step}")
