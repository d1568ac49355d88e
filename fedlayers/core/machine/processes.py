"""The same work for many things, shared by as many processes as there are processors."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from fedlayers.core.machine.allocation import available_cpus

Thing = TypeVar("Thing")
Outcome = TypeVar("Outcome")
# A process of its own takes some three seconds to begin.
LEAST_EACH = 40


def shared_out(work: Callable[[Thing], Outcome], things: Sequence[Thing]) -> list[Outcome]:
    """Return what some work makes of each thing, in their order.

    Few things, or all on one processor, are done in this process.

    Args:
        work: can be sent to another process, and depends on nothing else of this one.
        things: can be sent, too.
    """
    processes = min(available_cpus(), len(things) // LEAST_EACH)
    if processes < 2:
        return [work(thing) for thing in things]
    # joblib's processes do not run the caller's script again, as those of multiprocessing do.
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    try:
        found: list[Outcome] = Parallel(n_jobs=processes, backend="loky")(delayed(work)(thing) for thing in things)
    finally:
        get_reusable_executor().shutdown(wait=True)
    return found
