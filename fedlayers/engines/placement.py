"""How many clients a worker is given at once."""

from collections.abc import Sequence


def next_chunk(costs: Sequence[float], workers: int) -> int:
    """Return how many of the waiting clients the next free worker takes (guided self-scheduling).

    Each dispatch takes the first clients up to a share 1 / (2 workers) of the waiting work: large chunks at first, so
    that a phase needs few dispatches, single clients at the end, so that all workers finish together.

    Args:
        costs: cost of every waiting client, costliest first; not empty.
        workers: number of workers.

    Returns:
        A number of clients, at least 1.

    References:
        Polychronopoulos and Kuck 1987, Guided Self-Scheduling, IEEE Transactions on Computers C-36(12).
    """
    if workers == 1:
        return len(costs)
    share = sum(costs) / (2 * workers)
    taken = 0.0
    for count, cost in enumerate(costs):
        if count and taken + cost > share:
            return count
        taken += cost
    return len(costs)
