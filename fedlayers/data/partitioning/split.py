"""Who gets which examples once it is known which client they belong to: shares, caps and shuffles.

scikit-learn's ``StratifiedShuffleSplit`` refuses strata of one example, shares below one example a stratum and a share
of 0, all of which small federations have; it also draws other examples, so that every run would change.
"""

from collections.abc import Sequence

import numpy as np

from fedlayers.config.schema.settings import Split
from fedlayers.core.errors import UserError
from fedlayers.core.seeding import numpy_generator

SPLIT_SCOPES = ("client_train", "client_val", "client_test")


def hold_out(strata: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Return which examples to set aside, so that every stratum loses about the same share.

    Each stratum gives floor(share·size) examples; what is then missing to round(share·n) comes from the strata that
    were cut most by rounding. A stratum never gives its last example.

    Args:
        strata: code of each example's stratum (label, or label and group), shape (n,).
        share: in [0, 1).
        generator: draws the examples.

    Returns:
        A boolean mask, shape (n,).
    """
    _, codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    ideal = share * sizes
    take = np.minimum(np.floor(ideal + 1e-9).astype(np.int64), sizes - 1)
    cut_most_first = np.argsort(-(ideal - take), kind="stable")
    able = cut_most_first[(take < sizes - 1)[cut_most_first]]
    take[able[: max(0, round(share * len(strata)) - int(take.sum()))]] += 1
    order = generator.permutation(len(strata))
    by_stratum = order[np.argsort(codes[order], kind="stable")]
    rank = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    mask = np.zeros(len(strata), bool)
    mask[by_stratum[rank < np.repeat(take, sizes)]] = True
    return mask


def spread_evenly(strata: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return an order of examples whose beginnings, of any length, hold about the same share of every stratum.

    A beginning of m of n examples holds m·size/n of a stratum, give or take one.

    Args:
        strata: code of each example's stratum, shape (n,).
        generator: draws the order within strata, and of strata that are equal.

    Returns:
        The positions of the examples, shape (n,).
    """
    shuffled = generator.permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    _, sizes = np.unique(strata, return_counts=True)
    rank = np.arange(len(strata)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.empty(len(strata))
    place[by_stratum] = (rank + 0.5) / np.repeat(sizes, sizes)
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def cap(parts: Sequence[np.ndarray], limit: int | None, seed: int) -> list[np.ndarray]:
    """Return every client's examples, at most ``limit`` of them, drawn at random.

    Raises:
        UserError: if every client has fewer than ``limit`` examples, so that the limit does nothing at all.
    """
    largest = max(len(part) for part in parts)
    if limit is None:
        return list(parts)
    if largest < limit:
        raise UserError(
            f"examples_per_client must be at most {largest}, the number of examples of the largest client, got "
            f"{limit}; set it to null for all examples, or ask for fewer clients"
        )
    return [
        # The purpose is the key's first name: another would draw others.
        numpy_generator(seed, "records_per_client", client=client).permutation(part)[:limit]
        for client, part in enumerate(parts)
    ]


def split(parts: Sequence[np.ndarray], shares: Split, seed: int) -> dict[str, list[np.ndarray]]:
    """Return every client's examples by scope, shuffled.

    A client of n examples gets floor(val·n) for validation, floor(test·n) for testing and all others, at least one,
    for training.
    """
    scopes: dict[str, list[np.ndarray]] = {scope: [] for scope in SPLIT_SCOPES}
    for client, part in enumerate(parts):
        shuffled = numpy_generator(seed, "split", client=client).permutation(part)
        num_val, num_test = (int(share * len(part) + 1e-9) for share in (shares.val, shares.test))
        # np.split takes as long as drawing the order.
        ends = (0, len(part) - num_val - num_test, len(part) - num_test, len(part))
        for place, scope in enumerate(SPLIT_SCOPES):
            scopes[scope].append(shuffled[ends[place] : ends[place + 1]])
    return scopes
