"""The learning rate over rounds."""

import math

from fedlayers.config.training import Training


def learning_rate(training: Training, server_round: int, rounds: int) -> float:
    """Return the learning rate of a round, for r = round − 1 and T = ``schedule_rounds``.

    ``constant``: η. ``step``: η f^⌊r/T⌋. ``exponential``: η f^(r/T), T = 1 if not given. ``cosine``:
    η (1 + cos(π min(r/T, 1))) / 2, T = ``rounds`` if not given; f is ``schedule_factor``.

    Args:
        training: learning rate η and schedule.
        server_round: the round, from 1.
        rounds: the number of rounds of the run.
    """
    elapsed, length = server_round - 1, training.schedule_rounds
    if training.schedule == "step":
        return training.lr * math.pow(training.schedule_factor, elapsed // (length or 1))
    if training.schedule == "exponential":
        return training.lr * math.pow(training.schedule_factor, elapsed / (length or 1))
    if training.schedule == "cosine":
        return training.lr * (1 + math.cos(math.pi * min(elapsed / (length or rounds), 1))) / 2
    return training.lr
