"""What learners share whose gradient needs more of a batch than its loss."""

from torch import Tensor

from clients.batches import Batch
from clients.learners.end_to_end import EndToEnd
from fedlayers.core.schedule import Step


class SeesBatch(EndToEnd):
    """Remembers the batch of the step, for who overrides :meth:`slopes`; the arguments are those of ``EndToEnd``."""

    # Of the step that is under way.
    batch: Batch
    now: Step

    def step(self, batch: Batch, step: Step) -> Tensor:
        """Take one step along what :meth:`slopes` makes of the batch's mean loss."""
        self.batch, self.now = batch, step
        return super().step(batch, step)

    def loss_of(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch at the weights as they are."""
        return self.loss(self.network(batch.features), batch.labels, self.now)
