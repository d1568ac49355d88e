"""What would work instead of a partition that does not."""

import time
from collections.abc import Callable, Mapping
from typing import Any

# Says whether a partition with some arguments changed, and for so many clients, works.
Attempt = Callable[[Mapping[str, Any], int | None], bool]

ALPHAS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0)


def advice(works: Attempt, clients: int | None, spec: Mapping[str, Any], limit_s: float = 2.0) -> str:
    """Return the end of an error message: settings that were tried and work, each on its own.

    Args:
        works: tries a partition.
        clients: the number of clients that was asked for; None if the partitioner decides.
        spec: the partition's configuration; ``alpha`` and ``min_partition_size`` are looked at.
        limit_s: seconds after which no further setting is tried, for each kind of setting.
    """
    found = []
    if clients is not None and (most := _most_clients(works, clients, time.monotonic() + limit_s)):
        found.append(f"clients={most}")
    if isinstance(alpha := spec.get("alpha"), int | float):
        deadline = time.monotonic() + limit_s
        larger = (value for value in ALPHAS if value > alpha and time.monotonic() < deadline)
        if smallest := next((value for value in larger if works({"alpha": value}, clients)), None):
            found.append(f"partition.alpha={smallest:g}")
    if spec.get("min_partition_size", 1) > 1 and works({"min_partition_size": 1}, clients):
        found.append("partition.min_partition_size=1")
    if found:
        return "; what works: " + ", or ".join(found)
    return "; ask for fewer clients or a larger partition.alpha" if "alpha" in spec else "; change its arguments"


def _most_clients(works: Attempt, clients: int, deadline: float) -> int | None:
    """Return the largest number of clients below ``clients`` found to work by bisection in the time given."""
    low, high, best = 1, clients - 1, None
    while low <= high and time.monotonic() < deadline:
        middle = (low + high) // 2
        if works({}, middle):
            low, best = middle + 1, middle
        else:
            high = middle - 1
    return best
