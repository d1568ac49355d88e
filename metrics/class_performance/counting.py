"""What is counted of predictions: hits, false alarms, misses and score histograms of every class; counts add up."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.class_performance.label_groups import Answers
from metrics.class_performance.score_histograms import BINS, count_scores
from metrics.class_performance.scores import RECALLS, ClassResult, class_result, result_of
from metrics.class_performance.sorted_scores import areas_and_precisions


@dataclass(frozen=True)
class ClassTally:
    """The counts of some predictions of one label group.

    Attributes:
        counts: true positives, false positives and false negatives, shape (C, 3), on the CPU.
        histograms: of scores, shape (C, 2, BINS), see :mod:`metrics.class_performance.score_histograms`.
    """

    counts: Tensor
    histograms: Tensor

    @classmethod
    def of(cls, answers: Answers) -> "ClassTally":
        """Return the counts of some predictions."""
        taken, positive = answers.predicted & answers.counted, answers.positive & answers.counted
        return cls(_counts(taken, positive), count_scores(answers.scores, answers.positive, answers.counted).cpu())

    def __add__(self, other: "ClassTally") -> "ClassTally":
        """Return the counts of both."""
        return ClassTally(self.counts + other.counts, self.histograms + other.histograms)

    def results(self, labels: Sequence[str], with_ends: bool = True) -> dict[str, ClassResult]:
        """Return the scores of each class, by name, with the ends of average precisions if they are wanted."""
        counts, histograms = self.counts.numpy(), self.histograms.numpy()
        return {label: class_result(counts[k], histograms[k], with_ends) for k, label in enumerate(labels)}


def results_of(answers: Answers, labels: Sequence[str]) -> dict[str, ClassResult]:
    """Return the scores of each class, by name, of predictions that are all there: without ends.

    They are those of :meth:`ClassTally.results`; histograms are made only where there are more examples than bins.
    """
    if not 0 < len(answers.scores) < BINS or not bool(answers.counted.all()):
        return ClassTally.of(answers).results(labels, with_ends=False)
    found = areas_and_precisions(RECALLS, answers.scores, answers.positive)
    each = zip(labels, _counts(answers.predicted, answers.positive).tolist(), found, strict=True)
    return {label: result_of(counts, *own) for label, counts, own in each}


def _counts(taken: Tensor, positive: Tensor) -> Tensor:
    """Return true positives, false positives and false negatives, shape (C, 3), on the CPU."""
    hits = (taken & positive).sum(0)
    return torch.stack([hits, taken.sum(0) - hits, positive.sum(0) - hits], 1).cpu()
