"""Planted clients and groups of clients: differences that are known exactly, to test whether a method finds them."""

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
    """Return the planted groups of a federation, None where nothing is planted.

    ``plant.rotated`` and ``plant.relabelled`` name single clients: of one the images are turned counter-clockwise by so
    many degrees, of one some classes get one another's labels, in a circle (two classes are exchanged). All that are
    not named are group 0; clients with the same change are one group.

    With ``plant.kind`` clients are dealt out to k groups at random, as many to each (one more to some). Group g gets,
    in all its splits,

    - ``rotation``: images turned counter-clockwise by g · 360/k degrees, for k = 2 or 4: no pixel is interpolated;
    - ``permuted_labels``: label y becomes π_g(y), the π_g different random permutations, π_0 the identity.

    Args:
        plant: what, and of whom or of how many groups.
        clients: the number of clients.
        shape: one example's shape.
        classes: the number of classes.
        seed: the run's seed.

    Raises:
        UserError: the data cannot be changed so, there are fewer clients or permutations than groups, or there is no
            such client or class.

    References:
        Ghosh et al. 2020, An Efficient Framework for Clustered Federated Learning, arXiv 2006.04088 (rotated images);
        Sattler et al. 2020, Clustered Federated Learning, arXiv 1910.01991 (permuted labels).
    """
    if plant.rotated or plant.relabelled:
        return _single_clients(plant, clients, shape, classes)
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


def _single_clients(plant: Plant, clients: int, shape: Sequence[int], classes: int) -> Planting:
    """Return groups of clients that are named: a group a change, group 0 none."""
    turned = {client: degrees // 90 for client, degrees in plant.rotated}
    circles = {client: circle for client, *circle in plant.relabelled}
    for name, named in (("rotated", turned), ("relabelled", circles)):
        wrong = [client for client in named if not 0 <= client < clients]
        check(not wrong, f"plant.{name}", f"of clients in 0 … {clients - 1}", wrong)
    wrong = [label for circle in circles.values() for label in circle if not 0 <= label < classes]
    check(not wrong, "plant.relabelled", f"of classes in 0 … {classes - 1}", wrong)
    fits = len(shape) == 3 and (shape[1] == shape[2] or {*turned.values()} == {2})
    wanted = "[] unless examples are images (square ones for 90 and 270 degrees)"
    check(fits or not turned, "plant.rotated", wanted, [*turned], f"these examples have shape {tuple(shape)}")
    changes = [(turned.get(client, 0), _relabel(circles.get(client, []), classes)) for client in range(clients)]
    kinds = list(dict.fromkeys([(0, _relabel([], classes)), *changes]))
    turns, relabels = (torch.tensor(list(part)) for part in zip(*kinds, strict=True))
    return Planting(tuple(kinds.index(change) for change in changes), turns, relabels)


def _relabel(circle: Sequence[int], classes: int) -> tuple[int, ...]:
    """Return the new label of each class: in the circle that of the next one."""
    following = dict(zip(circle, [*circle[1:], *circle[:1]], strict=True))
    return tuple(following.get(label, label) for label in range(classes))


def refuse_permuted_label_sets(plant: Plant, dimensions: int) -> None:
    """Refuse other labels for examples of which several labels hold.

    Args:
        plant: what is planted.
        dimensions: of the labels, 1 for classes, 2 for label sets.

    Raises:
        UserError: labels of label sets would be permuted.
    """
    wanted = "rotation or null where several labels of an example may hold"
    check(plant.kind != "permuted_labels" or dimensions == 1, "plant.kind", wanted, "permuted_labels")
    wanted = "[] where several labels of an example may hold"
    check(not plant.relabelled or dimensions == 1, "plant.relabelled", wanted, [[*entry] for entry in plant.relabelled])


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
