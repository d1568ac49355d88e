"""Planted groups of clients: differences that are known exactly, to test whether a method finds them."""

from collections.abc import Sequence
from math import factorial

import numpy as np
import torch
from torch import Tensor

from fedlayers.config.schema.examples import Plant
from fedlayers.core.checks import check
from fedlayers.core.planted import Planting
from fedlayers.core.seeding import numpy_generator


def planting(plant: Plant, clients: int, shape: Sequence[int], classes: int, seed: int) -> Planting | None:
    """Return the planted groups of a federation, None without ``plant.kind``.

    Clients are dealt out to k groups at random, as many to each (one more to some). Group g gets, in all its splits,

    - ``rotation``: images turned counter-clockwise by g · 360/k degrees, for k = 2 or 4: no pixel is interpolated;
    - ``permuted_labels``: label y becomes π_g(y), the π_g different random permutations, π_0 the identity.

    Args:
        plant: what and how many groups.
        clients: the number of clients.
        shape: one example's shape.
        classes: the number of classes.
        seed: the run's seed.

    Raises:
        UserError: the data cannot be changed so, or there are fewer clients or permutations than groups.

    References:
        Ghosh et al. 2020, An Efficient Framework for Clustered Federated Learning, arXiv 2006.04088 (rotated images);
        Sattler et al. 2020, Clustered Federated Learning, arXiv 1910.01991 (permuted labels).
    """
    if plant.kind is None:
        return None
    count = plant.groups
    check(count <= clients, "plant.groups", f"at most {clients}, the number of clients", count)
    turns, relabel = torch.zeros(count, dtype=torch.int64), torch.arange(classes).repeat(count, 1)
    if plant.kind == "rotation":
        turns = _turns(count, shape)
    else:
        relabel = _permutations(count, classes, seed)
    dealt = numpy_generator(seed, "plant_groups").permutation(np.arange(clients) % count)
    return Planting(tuple(dealt.tolist()), turns, relabel)


def _turns(count: int, shape: Sequence[int]) -> Tensor:
    why = "other turns would blur the pixels"
    check(count in (2, 4), "plant.groups", "2 (turns of 180 degrees) or 4 (of 90) with plant.kind=rotation", count, why)
    fits = len(shape) == 3 and (count == 2 or shape[1] == shape[2])
    wanted = "permuted_labels unless examples are images (square ones for 4 groups)"
    check(fits, "plant.kind", wanted, "rotation", f"these examples have shape {tuple(shape)}")
    return torch.arange(count) * (4 // count)


def _permutations(count: int, classes: int, seed: int) -> Tensor:
    """Return different permutations of the labels, the first one the identity, shape (count, classes)."""
    most = factorial(min(classes, 20))
    check(count <= most, "plant.groups", f"at most {most}, the number of permutations of {classes} labels", count)
    found = [tuple(range(classes))]
    generator = numpy_generator(seed, "plant_labels")
    while len(found) < count:
        drawn = tuple(generator.permutation(classes).tolist())
        if drawn not in found:
            found.append(drawn)
    return torch.tensor(found)
