"""How many clients a worker is given at once."""

from collections.abc import Sequence


def next_chunk(costs: Sequence[float], workers: int, smallest: float = 0.0, most: int | None = None) -> int:
    """Return how many of the waiting clients the next free worker takes (guided self-scheduling).

    Each dispatch takes the first clients up to a share 1 / (2 workers) of the waiting work: large chunks at first, so
    that a phase needs few dispatches, single clients at the end, so that all workers finish together.

    Args:
        costs: cost of every waiting client, costliest first; not empty.
        workers: number of workers.
        smallest: work worth a dispatch; chunks are not made smaller than that, nor than an equal share of the work.
        most: the largest number of clients in one chunk.

    Returns:
        A number of clients, at least 1.

    References:
        Polychronopoulos and Kuck 1987, Guided Self-Scheduling, IEEE Transactions on Computers C-36(12).
    """
    total = sum(costs)
    share = max(total / (2 * workers), min(smallest, total / workers))
    taken = 0.0
    for count, cost in enumerate(costs):
        taken += cost
        if count and (taken > share * (1 + 1e-9) or count == most):
            return count
    return len(costs)
