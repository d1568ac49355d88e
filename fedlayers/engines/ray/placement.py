"""How many clients a worker is given at once."""

from collections.abc import Sequence


class Chunks:
    """Cuts the waiting work of a phase into chunks by factoring.

    One chunk for each worker at a time, all of the same share: half of what is waiting, divided by the workers. Large
    chunks at first, so that a phase needs few dispatches, single clients at the end, so that all workers end together.

    Args:
        workers: number of workers.
        smallest: work worth a dispatch; chunks are not made smaller than that, unless some worker would get none.

    References:
        Hummel, Schonberg and Flynn 1992, Factoring: a method for scheduling parallel loops, CACM 35(8).
    """

    def __init__(self, workers: int, smallest: float = 0.0) -> None:
        self.workers = workers
        self.smallest = smallest
        self._share = 0.0
        self._left = 0

    def next(self, costs: Sequence[float], most: int | None = None) -> int:
        """Return how many of the waiting units the next free worker takes, at least 1.

        Args:
            costs: cost of every waiting unit, costliest first; not empty.
            most: the largest number of units in one chunk.
        """
        if not self._left:
            total = sum(costs)
            self._share = max(total / (2 * self.workers), min(self.smallest, total / self.workers))
            self._left = self.workers
        self._left -= 1
        taken = 0.0
        for count, cost in enumerate(costs):
            taken += cost
            if count and (taken > self._share * (1 + 1e-9) or count == most):
                return count
        return len(costs)
