"""The learning rate over rounds, or over the steps of all rounds."""

import math
from collections.abc import Callable

from fedlayers.config.schema.training import Training
from fedlayers.core.schedule import Step

# One learning rate for a whole local training, or one for each of its steps.
Rate = float | Callable[[Step], float]


def scheduled(training: Training, server_round: int, rounds: int) -> Rate:
    """Return the learning rates of a client's local training in a round.

    By round, t = round − 1 rounds of T = ``rounds`` are over. By step, a client whose local training has S steps has
    t = (round − 1) S + i of T = ``rounds`` · S behind it before its step i, counted from 0: as if it had trained in
    every round, so that all clients of a round are at the same part of the schedule, and the last round ends it.

    Args:
        training: learning rate and schedule, see :func:`learning_rate`.
        server_round: the round, from 1.
        rounds: the number of rounds of the run.
    """
    if training.schedule_by == "round":
        return learning_rate(training, server_round - 1, rounds)

    def rate(step: Step) -> float:
        elapsed = (server_round - 1) * step.last + step.number - 1
        return learning_rate(training, elapsed, rounds * step.last, step.last)

    return rate


def learning_rate(training: Training, elapsed: int, whole: int, usual: int = 1) -> float:
    """Return the learning rate after t of T rounds or steps.

    For t < w, the warm-up: η (t + 1) / w. Then, with r = t − w: ``constant``: η. ``step``: η f^⌊r/D⌋. ``exponential``:
    η f^(r/D). ``cosine``: η (1 + cos(π min(r / (D − w), 1))) / 2, which reaches 0 after D, the warm-up included. η is
    ``lr``, f ``schedule_factor``, w ``warmup``, and D ``schedule_rounds``, by step ``schedule_steps``.

    Args:
        training: learning rate and schedule.
        elapsed: t ≥ 0.
        whole: T ≥ 1, which is the cosine's D if none is given.
        usual: the exponential's D if none is given: a round.
    """
    length = training.schedule_rounds if training.schedule_by == "round" else training.schedule_steps
    warmup, since = training.warmup, elapsed - training.warmup
    if since < 0:
        return training.lr * (elapsed + 1) / warmup
    if training.schedule == "step":
        return training.lr * math.pow(training.schedule_factor, since // (length or 1))
    if training.schedule == "exponential":
        return training.lr * math.pow(training.schedule_factor, since / (length or usual))
    if training.schedule == "cosine":
        return training.lr * (1 + math.cos(math.pi * min(since / max((length or whole) - warmup, 1), 1))) / 2
    return training.lr


def mean_rate(rate: Rate, steps: int) -> float:
    """Return the mean learning rate of a local training of so many steps."""
    if isinstance(rate, float | int):
        return rate
    return math.fsum(rate(Step(number, steps, steps)) for number in range(1, steps + 1)) / steps
