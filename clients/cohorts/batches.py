"""Batches of several clients side by side: drawn as each alone draws them, short ones filled up."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from clients.batches import Batch, gathered, positions
from clients.cohorts.jobs import TrainingJob
from fedlayers.core.cohorts.examples import CommonExamples

# The most positions of examples that are drawn ahead of their steps.
_AHEAD = 2**24


@dataclass(frozen=True)
class StackedBatch:
    """What one step of n clients trains on.

    Attributes:
        features: shape (n, b, *shape), b the examples of the longest batch.
        labels: shape (n, b).
        counts: how many of them are each client's; those after are repetitions of its first.
    """

    features: Tensor
    labels: Tensor
    counts: Sequence[int]

    def means(self, losses: Tensor) -> Tensor:
        """Return each client's mean over its own examples of losses (n, b), shape (n,)."""
        longest = losses.shape[1]
        if min(self.counts) == longest:
            return losses.mean(1)
        counts = torch.tensor(self.counts).unsqueeze(1)
        own = (torch.arange(longest) < counts).to(losses.device)
        return (losses * own).sum(1) / counts.to(losses).squeeze(1)


class StackedBatches:
    """Draws the batches of some clients, step by step.

    Args:
        jobs: the clients' trainings.
    """

    def __init__(self, jobs: Sequence[TrainingJob]) -> None:
        self.jobs = jobs
        self.device = jobs[0].device
        self._positions = [positions(len(job.examples), job.training, job.generator) for job in jobs]
        # Of each client the step that was drawn last: half of a cohort that did not fit asks again.
        self._drawn: dict[int, tuple[int, Batch]] = {}
        self._ahead = self._drawn_ahead()

    def at(self, step: int, clients: slice) -> StackedBatch:
        """Return the batches of a step, from 0, of some clients.

        A client's steps are asked for in order; the last one may be asked for again.
        """
        if self._ahead is None:
            return _side_by_side([self._of(client, step) for client in range(clients.start, clients.stop)])
        common, rows, counts = self._ahead
        own = counts[step][clients]
        features, labels = common.batch(rows[step, clients, : max(own)], clients)
        return StackedBatch(features.to(self.device), labels.to(self.device), own)

    def _of(self, client: int, step: int) -> Batch:
        if client not in self._drawn or self._drawn[client][0] != step:
            job = self.jobs[client]
            chosen = next(self._positions[client])
            self._drawn[client] = step, gathered(job.examples, chosen, job.augment, job.generator, job.device)
        return self._drawn[client][1]

    def _drawn_ahead(self) -> tuple[CommonExamples, Tensor, list[list[int]]] | None:
        """Return all steps' rows in common arrays, shape (steps, K, b), with the number of each client's own.

        None if the clients' examples are not in common arrays, are augmented (which draws in between), or too many.
        """
        lengths = [job.training.length(len(job.examples)).steps for job in self.jobs]
        size = self.jobs[0].training.batch_size
        if any(job.augment for job in self.jobs) or max(lengths) * len(self.jobs) * size > _AHEAD:
            return None
        common = CommonExamples.of([job.examples for job in self.jobs])
        if common is None:
            return None
        drawn = [list(batches) for batches in self._positions]
        rows = [examples.index[_filled(own)] for examples, own in zip(common.clients, drawn, strict=True)]
        counts = itertools.zip_longest(*([len(batch) for batch in own] for own in drawn), fillvalue=0)
        return common, _stacked_rows(rows), [list(row) for row in counts]


def _filled(batches: Sequence[Tensor]) -> Tensor:
    """Return batches as rows (steps, b), short ones filled up with their first."""
    if len({len(batch) for batch in batches}) == 1:
        return torch.stack(list(batches))
    padded = pad_sequence(list(batches), batch_first=True, padding_value=-1)
    return torch.where(padded < 0, padded[:, :1], padded)


def _stacked_rows(rows: Sequence[Tensor]) -> Tensor:
    """Return rows (steps, b) of each client as one tensor, those of others where one has no more."""
    if len({own.shape for own in rows}) == 1:
        return torch.stack(list(rows), 1)
    steps, longest = (max(own.shape[axis] for own in rows) for axis in (0, 1))
    stacked = rows[0].new_zeros(steps, len(rows), longest)
    for client, own in enumerate(rows):
        stacked[: len(own), client, : own.shape[1]] = own
        stacked[: len(own), client, own.shape[1] :] = own[:, :1]
    return stacked


def _side_by_side(batches: Sequence[Batch]) -> StackedBatch:
    counts = [len(batch) for batch in batches]
    longest = max(counts)

    def stacked(tensors: Iterator[Tensor]) -> Tensor:
        return torch.stack([_up_to(longest, tensor) for tensor in tensors])

    return StackedBatch(
        stacked(batch.features for batch in batches), stacked(batch.labels for batch in batches), counts
    )


def _up_to(count: int, tensor: Tensor) -> Tensor:
    """Return a tensor of ``count`` entries: its own, and repetitions of the first."""
    missing = count - len(tensor)
    return torch.cat([tensor, tensor[:1].expand(missing, *tensor.shape[1:])]) if missing else tensor
