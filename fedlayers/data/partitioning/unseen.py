"""Who never trains: clients that are drawn once, to see what a model is worth to somebody new."""

from fedlayers.core.checks import check
from fedlayers.core.seeding import numpy_generator


def unseen_clients(wanted: int, clients: int, seed: int) -> tuple[int, ...]:
    """Return the clients that never train, ascending: the same ones whenever it is asked.

    Args:
        wanted: how many, 0 or more.
        clients: how many clients there are.
        seed: the run's.

    Raises:
        UserError: nobody would be left to train.
    """
    most = f"at most {clients - 1}: one or more of the {clients} clients must train"
    check(wanted < clients, "split.unseen_clients", most, wanted)
    drawn = numpy_generator(seed, "unseen clients").choice(clients, wanted, replace=False)
    return tuple(sorted(drawn.tolist()))
