"""Trains the clients of a cohort: those that can be stacked as one, the others one after the other."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from clients.cohorts.batches import StackedBatch, StackedBatches
from clients.cohorts.end_to_end import StackedEndToEnd, likeness
from clients.cohorts.following import FollowingTogether
from clients.cohorts.graphs import REFUSED, cohort_graphs, recorder_of
from clients.cohorts.jobs import TrainingJob
from clients.cohorts.stacking import why_not_stacked
from clients.learners.end_to_end import EndToEnd
from clients.network import training_mode
from clients.observers import Audience
from clients.training import LocalResult
from fedlayers.core.cohorts.meeting import Alone, acting_for
from fedlayers.core.cohorts.memory import does_not_fit
from fedlayers.core.schedule import Step
from fedlayers.objectives.objective import ObjectiveError

HALVED = (
    "a cohort of {} clients did not fit into memory: they are trained in two halves; a smaller training.cohort fits"
)


# A result, what a client is to do by itself, or what it raised.
Found = LocalResult | Alone[LocalResult] | Exception


def train_together(jobs: Sequence[TrainingJob]) -> list[Found]:
    """Train some clients, those as one whose networks and settings are alike, and return each one's result.

    A client's result does not depend on who trains with it, but for rounding.
    """
    results: dict[int, Found] = {}
    for group in _alike(jobs):
        found = _group_trained([jobs[place] for place in group], is_cohort=len(jobs) > 1)
        results.update(zip(group, found, strict=True))
    return [results[place] for place in range(len(jobs))]


def observed(found: Found) -> float:
    """Return how many of the seconds of a training went into what looks on at this client."""
    return found.observed_s if isinstance(found, LocalResult) else 0.0


def _alike(jobs: Sequence[TrainingJob]) -> list[list[int]]:
    """Return the places of jobs that may be stacked, and of each other one by itself."""
    groups: list[tuple[object, list[int]]] = []
    for place, job in enumerate(jobs):
        key = _likeness(job)
        same = next((places for other, places in groups if key is not None and other == key), None)
        if same is None:
            groups.append((key, [place]))
        else:
            same.append(place)
    return [places for _, places in groups]


def _likeness(job: TrainingJob) -> object:
    learner = job.learner
    # A learner that builds on this one may do something else in a step.
    if type(learner) is not EndToEnd or not len(job.examples):
        return None
    return likeness(learner), job.training, job.device


def _group_trained(jobs: Sequence[TrainingJob], is_cohort: bool) -> list[Found]:
    kind = type(jobs[0].learner)
    # A learner that builds on EndToEnd may do something else in a step, too.
    reason = f"learner {kind.__name__} has steps of its own" if is_cohort and kind is not EndToEnd else None
    # One client by itself is a cohort of one where its steps are recorded.
    if len(jobs) == 1 and reason is None and (recorder_of(jobs[0]) is None or _likeness(jobs[0]) is None):
        return [Alone(jobs[0].done_alone)]
    reason = reason or why_not_stacked(jobs[0])
    if reason is not None:
        one_by_one = f"clients train one by one, not several as one: {reason}"
        remark = one_by_one if is_cohort else REFUSED.format(reason)
        return [Alone(partial(job.done_alone, remark)) for job in jobs]
    # Those with most steps first: who is left after some steps then stands side by side.
    order = sorted(range(len(jobs)), key=lambda place: -jobs[place].steps)
    found = _stacked([jobs[place] for place in order])
    return [found[order.index(place)] for place in range(len(jobs))]


def _stacked(jobs: Sequence[TrainingJob]) -> list[Found]:
    try:
        cohort = _Cohort(jobs)
    except Exception as error:
        if not does_not_fit(error) or len(jobs) == 1:
            raise
        half = len(jobs) // 2
        both = [*_stacked(jobs[:half]), *_stacked(jobs[half:])]
        return [_told(one, HALVED) for one in both]
    return cohort.run()


def _told(found: Found, remark: str) -> Found:
    return replace(found, remark=remark) if isinstance(found, LocalResult) else found


class _Cohort:
    """Clients that train as one, those with most steps first."""

    def __init__(self, jobs: Sequence[TrainingJob]) -> None:
        self.jobs = jobs
        self.lengths = [job.training.length(len(job.examples)) for job in jobs]
        learners = [job.learner for job in jobs if isinstance(job.learner, EndToEnd)]
        make = partial(StackedEndToEnd, learners, lambda client: acting_for(jobs[client]))
        self.graphs, self.remark = cohort_graphs(jobs, make)
        self.stack = make() if self.graphs is None else self.graphs.stack
        self.batches = StackedBatches(jobs)
        self.audiences = [Audience(job.observers) for job in jobs]
        self.total = torch.zeros(len(jobs), dtype=torch.float64, device=jobs[0].device)
        self.seen = [0] * len(jobs)

    def run(self) -> list[Found]:
        """Train them and return their results."""
        self.together = FollowingTogether([job.observers for job in self.jobs])
        for client, audience in enumerate(self.audiences):
            if self.jobs[client].observers:
                self._show(client, partial(audience.started, self.stack.weights_of(client), self.lengths[client]))
        self.together.start(self.stack.parameters)
        with training_mode([self.stack.module], frozen_norms=False):
            self._descend(0, 0, len(self.jobs))
        self.together.close()
        self.stack.give_back()
        # The only time at which the device is waited for.
        totals = self.total.tolist()
        return [self._found(client, totals) for client in range(len(self.jobs))]

    def _descend(self, step: int, first: int, last: int) -> None:
        """Take the steps from ``step``, counted from 0, of the clients from ``first`` to before ``last``."""
        for number in range(step, self.lengths[first].steps):
            last = next((c for c in range(first, last) if self.lengths[c].steps <= number), last)
            try:
                batch = self.batches.at(number, slice(first, last))
                steps = [Step(number + 1, own.steps, own.per_epoch) for own in self.lengths[first:last]]
                losses = self._stepped(batch, steps, slice(first, last))
            except Exception as error:
                if not does_not_fit(error) or last - first == 1:
                    raise
                self.remark = self.remark or HALVED
                middle = (first + last + 1) // 2
                self._descend(number, first, middle)
                self._descend(number, middle, last)
                return
            self._count(steps, losses, batch.counts, first)

    def _stepped(self, batch: StackedBatch, steps: Sequence[Step], clients: slice) -> Tensor:
        """Take a step of some clients and return their losses before it; what does not fit changes nothing."""
        recorded = self.graphs and self.graphs.step_for(batch)
        if recorded:
            return recorded(batch, self.stack.factors(steps, clients))
        if self.graphs:
            self.remark = self.remark or self.graphs.refused
        losses, gradients = self.stack.slopes(batch, steps, clients)
        self.stack.move(gradients, self.stack.factors(steps, clients), clients)
        return losses

    def _count(self, steps: Sequence[Step], losses: Tensor, counts: Sequence[int], first: int) -> None:
        """Add up what a step came to, and show it to who looks on."""
        weights = torch.tensor(counts, dtype=torch.float64).to(self.total.device)
        self.together.look(steps, slice(first, first + len(counts)), self.stack.parameters, self.stack.gradients)
        self.total[first : first + len(counts)] += losses.double() * weights
        for place, count in enumerate(counts):
            client = first + place
            self.seen[client] += count
            if self.audiences[client].next == steps[place].number:
                gradients = {name: gradient[place] for name, gradient in self.stack.gradients.items()}
                self._show(client, partial(self.audiences[client].stepped, steps[place], gradients, losses[place]))

    def _show(self, client: int, look: "partial[None]") -> None:
        """Let a client's observers look, unless it has failed."""
        if client not in self.stack.failures:
            try:
                with acting_for(self.jobs[client]):
                    look()
            except Exception as error:
                self.stack.failures[client] = error

    def _found(self, client: int, totals: Sequence[float]) -> LocalResult | Exception:
        """Return a client's result, or what failed."""
        if client in self.stack.failures:
            return self.stack.failures[client]
        try:
            for losses in self.jobs[client].learner.losses:
                losses.check()
        except ObjectiveError as error:
            return error
        seen, length = self.seen[client], self.lengths[client]
        observed_s = self.audiences[client].seconds + self.together.seconds / len(self.jobs)
        return LocalResult(totals[client] / seen, seen, length.steps, observed_s, self.remark)
