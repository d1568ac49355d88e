"""Steps of fixed shape as CUDA graphs: recorded once, then started by one call instead of one for each kernel.

A graph does what was recorded with the same memory again. So a cohort's weights, what its optimizer remembers, and a
batch have their places, which the next cohort of the same kind takes over.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from clients.cohorts.batches import StackedBatch
from clients.cohorts.end_to_end import StackedEndToEnd, likeness
from clients.cohorts.jobs import TrainingJob
from clients.following import Following
from clients.learners.end_to_end import EndToEnd
from clients.observers import Audience
from fedlayers.core.cohorts.stacked import equal_but_rounding
from fedlayers.core.errors import one_line

REFUSED = "steps of local training are not CUDA graphs: {}"
# Steps before one is recorded, in which libraries make what they keep.
_WARM_UP = 3


class Recorder(Protocol):
    """Writes down what a function does with tensors, so that it can be done again without calling it."""

    def aside(self) -> AbstractContextManager[None]:
        """Return a context for what runs before a function is recorded."""
        ...

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Return what does again, in the same memory, what the function does; the function has run before."""
        ...


class CudaRecorder:
    """Records CUDA graphs."""

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Compute on a stream of its own, as recording demands, which the current one then waits for."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream().wait_stream(stream)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record what a function does with tensors of the current card."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            step()
        replay: Callable[[], None] = graph.replay
        return replay


def recorder_of(job: TrainingJob) -> Recorder | None:
    """Return what records the steps of a training, None if they are not to be recorded."""
    is_card = torch.device(job.device).type == "cuda"
    return CudaRecorder() if is_card and job.training.graphs == "auto" else None


class RecordedStep:
    """A step of all clients of a cohort on full batches, as a plain function of tensors that stay where they are.

    Args:
        stack: the cohort; it is left as found.
        batch: a batch of the shape that all will have.
        recorder: what records it.

    Raises:
        RuntimeError: done again, the step comes to something else.
    """

    def __init__(self, stack: StackedEndToEnd, batch: StackedBatch, recorder: Recorder) -> None:
        self.stack = stack
        self.features, self.labels = batch.features.clone(), batch.labels.clone()
        clients = len(batch.counts)
        # Any numbers do for the trial.
        self.factors = self.features.new_full((stack.optimizer.rows, clients), 0.01)
        self.losses = self.features.new_zeros(clients)
        self._replay = self._recorded(recorder)
        # Each time it is done again, in the same memory.
        self._gradients = stack.gradients

    def __call__(self, batch: StackedBatch, factors: Sequence[Sequence[float]]) -> Tensor:
        """Take a step, and return the clients' losses before it."""
        self.features.copy_(batch.features, non_blocking=True)
        self.labels.copy_(batch.labels, non_blocking=True)
        self.factors.copy_(torch.tensor(factors, dtype=self.factors.dtype), non_blocking=True)
        self._replay()
        self.stack.gradients = self._gradients
        return self.losses.clone()

    def _run(self) -> None:
        self.losses.copy_(self.stack.full_step(self.features, self.labels, self.factors.unbind(0)))

    def _recorded(self, recorder: Recorder) -> Callable[[], None]:
        changed = self.stack.changed_by_steps()
        before = [tensor.clone() for tensor in changed]
        try:
            with recorder.aside():
                for _ in range(_WARM_UP):
                    _put(changed, before)
                    self._run()
            expected = [tensor.clone() for tensor in changed]
            replay = recorder.record(self._run)
            _put(changed, before)
            replay()
            if not all(equal_but_rounding(*pair) for pair in zip(changed, expected, strict=True)):
                raise RuntimeError("done again, a step comes to something else")
            return replay
        finally:
            _put(changed, before)


@torch.no_grad()
def _put(tensors: Sequence[Tensor], numbers: Sequence[Tensor]) -> None:
    torch._foreach_copy_(list(tensors), list(numbers))


@dataclass
class CohortGraphs:
    """A cohort whose places in memory the next one takes over, and its steps that were recorded.

    Attributes:
        stack: the cohort.
        recorder: what records its steps.
        refused: says why they are not recorded any more; empty if they are.
    """

    stack: StackedEndToEnd
    recorder: Recorder
    refused: str = ""
    _steps: dict[object, RecordedStep] = field(default_factory=dict)

    def step_for(self, batch: StackedBatch) -> RecordedStep | None:
        """Return what takes a step of all clients on such a batch; None if it is not of the kind that is recorded."""
        if self.refused or len(batch.counts) < len(self.stack.learners) or min(batch.counts) < batch.labels.shape[1]:
            return None
        key = batch.features.shape, batch.features.dtype
        if key not in self._steps:
            try:
                self._steps[key] = RecordedStep(self.stack, batch, self.recorder)
            except Exception as error:
                self.refused = REFUSED.format(one_line(error))
                return None
        return self._steps[key]


# The cohort that was trained last, and of which kind it is.
_last: list[tuple[object, CohortGraphs]] = []


def cohort_graphs(jobs: Sequence[TrainingJob], stack: Callable[[], StackedEndToEnd]) -> tuple[CohortGraphs | None, str]:
    """Return the graphs of a cohort, filled with its clients' weights, or why it has none; neither if none are wanted.

    Args:
        jobs: the clients' trainings.
        stack: makes the cohort.
    """
    recorder = recorder_of(jobs[0])
    if recorder is None:
        return None, ""
    reason = _why_not(jobs)
    if reason:
        return None, REFUSED.format(reason)
    learners = [job.learner for job in jobs if isinstance(job.learner, EndToEnd)]
    first = learners[0]
    key = likeness(first), len(jobs), jobs[0].device, first.network.module, first.objective, first.hooks.adds_up
    found = next((kept for other, kept in _last if other == key), None)
    if found is None:
        _last.clear()
        made = stack()
        made.stays = True
        found = CohortGraphs(made, recorder)
        _last.append((key, found))
    else:
        found.stack.refill(learners)
    return found, ""


def _why_not(jobs: Sequence[TrainingJob]) -> str:
    """Return why the steps of a cohort cannot be recorded, as far as it can be seen; empty if they can."""
    learners = [job.learner for job in jobs if isinstance(job.learner, EndToEnd)]
    first = learners[0]
    # What follows a training reads weights and gradients alone, between steps.
    others = [[own for own in job.observers if not isinstance(own, Following)] for job in jobs]
    if any(Audience(own).follows for own in others):
        return "something looks on at every step"
    if any(learner.hooks.adjust_gradients for learner in learners):
        return "the algorithm changes gradients by code of its own"
    if any(learner.hooks.extra_loss for learner in learners) and not first.hooks.adds_up:
        return "the algorithm adds a loss of each client by code of its own"
    if not first.objective.is_safe or any(learner.objective is not first.objective for learner in learners):
        return "the objective is asked for each client"
    return ""
