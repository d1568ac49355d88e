"""How many clients a worker is given at once, and whether blocks of them stay together."""

import heapq
import math
from collections.abc import Sequence

# What a client's own arrays cost to pack, receive and add up, where a sum could have been sent.
MOVE_S_PER_BYTE = 1e-9
# By how much of a unit of work workers end apart: nobody knows how long it will take.
JITTER = 0.05


def blocks_pay(blocks: Sequence[Sequence[float]], workers: int, seconds_per_cost: float, reply_bytes: int) -> bool:
    """Say whether workers that run whole blocks, and send sums, are done before those that run client by client.

    Args:
        blocks: the costs of the clients of each block.
        workers: number of workers.
        seconds_per_cost: how long a unit of cost takes; infinite if that is not known yet: then sums are taken to save
            a tenth of the work.
        reply_bytes: the size of a client's arrays.
    """
    together = _end([sum(block) for block in blocks], workers)
    clients = [cost for block in blocks for cost in block]
    apart = _end(clients, workers)
    known = math.isfinite(seconds_per_cost) and seconds_per_cost > 0
    moved = reply_bytes * len(clients) * MOVE_S_PER_BYTE / seconds_per_cost if known else apart / 10
    return together <= apart + moved


def _end(costs: Sequence[float], workers: int) -> float:
    """Return when the last of the workers is done, given the costliest unit first."""
    loads = [0.0] * workers
    for cost in sorted(costs, reverse=True):
        heapq.heapreplace(loads, loads[0] + cost)
    return max(loads) + JITTER * max(costs)


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
