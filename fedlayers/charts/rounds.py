"""Which round a chart shows: the one that is asked for, or the last one before it in which there is something."""

from collections.abc import Sequence


def shown_round(rounds: Sequence[int], asked: int | None) -> int | None:
    """Return the last of the rounds up to the one asked for, else the first; the last one if none is asked for.

    Metrics are measured in rounds of their own: a selection of a round shows what was known by then.

    Args:
        rounds: those with values, ascending.
        asked: a round, or None.

    Returns:
        None if there is none.

    Examples:
        >>> shown_round([1, 5, 10], 7), shown_round([5, 10], 2), shown_round([1, 5], None)
        (5, 5, 5)
    """
    before = [number for number in rounds if asked is None or number <= asked]
    return before[-1] if before else (rounds[0] if rounds else None)
