"""How evenly a federation serves its clients, and for whom it pays to take part."""

import math

import numpy as np


def variance_over_clients(values: np.ndarray) -> float:
    """Return the population variance over clients: 0 if all are served alike.

    Args:
        values: a score of every client, shape (clients,), one or more.

    References:
        Li et al. 2020, Fair Resource Allocation in Federated Learning, arXiv 1905.10497.

    Examples:
        >>> import numpy as np
        >>> variance_over_clients(np.array([0.5, 1.0]))
        0.0625
    """
    return float(values.var())


def mean_of_worst(values: np.ndarray, higher_is_better: bool, share: float = 0.1) -> float:
    """Return the mean score of the worst share of clients: of one client, if so few are that share.

    Args:
        values: a score of every client, shape (clients,), one or more.
        higher_is_better: whether the lowest scores are the worst.
        share: of the clients, rounded up to whole ones, in (0, 1].

    References:
        Li et al. 2020, Fair Resource Allocation in Federated Learning, arXiv 1905.10497.

    Examples:
        >>> import numpy as np
        >>> mean_of_worst(np.arange(20.0), True), mean_of_worst(np.arange(20.0), False)
        (0.5, 18.5)
    """
    count = max(1, math.ceil(round(share * len(values), 9)))
    ordered = np.sort(values)
    return float((ordered[:count] if higher_is_better else ordered[-count:]).mean())


def participation_rate(values: np.ndarray, others: np.ndarray, higher_is_better: bool) -> float:
    """Return the share of clients that an algorithm serves better than every one of some others does.

    With the model that clients train alone among the others it is the share that has a reason to take part.

    Args:
        values: a score of every client, shape (clients,), one or more.
        others: those of the others, shape (others, clients).
        higher_is_better: whether larger scores are better; equal ones are not better.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829 (incentivised participation rate); Cho et al. 2022, To
        Federate or Not To Federate: Incentivizing Client Participation in Federated Learning, arXiv 2205.14840.

    Examples:
        >>> import numpy as np
        >>> participation_rate(np.array([0.8, 0.7, 0.6, 0.5]), np.array([[0.7, 0.7, 0.5, 0.6]]), True)
        0.5
    """
    better = values > others if higher_is_better else values < others
    return float(better.all(axis=0).mean())
