"""Who is looked at where everybody would be: at the moments ``start`` and ``final``, and in ``partition.parquet``."""

from fedlayers.core.quantities import Facts
from fedlayers.core.records import Record
from fedlayers.core.seeding import numpy_generator

FACTS = Facts("surveyed_share", "1", 0.0, 1.0, "neutral", "own definition: the clients that a moment evaluates, of all")


def surveyed(wanted: int | None, clients: int, seed: int) -> list[int]:
    """Return the clients that a run surveys, ascending: the same ones whenever it is asked.

    Args:
        wanted: how many, at most ``clients``; None for all.
        clients: how many there are.
        seed: the run's.
    """
    if wanted is None:
        return list(range(clients))
    drawn = numpy_generator(seed, "survey").choice(clients, wanted, replace=False)
    return [int(client) for client in sorted(drawn)]


def survey_rows(wanted: int | None, clients: int) -> list[Record]:
    """Return the row that says of how many clients a moment's values are; none where they are of all."""
    if wanted is None:
        return []
    why = f"{wanted:,} of {clients:,} clients, drawn once (surveyed_clients={wanted})"
    return [Record("surveyed_share", wanted / clients, n=wanted, reason=why)]
