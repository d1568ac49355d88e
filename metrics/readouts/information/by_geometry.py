"""What is read off a stage without labels: what it knows of the input, its entropy, its dimension."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metrics.geometry.participation_ratio import participation_ratio_of
from metrics.readouts.information.binned_information import binned_information
from metrics.readouts.information.diagonal_entropy import diagonal_entropy
from metrics.readouts.information.leading_components import leading_components, smaller_products
from metrics.readouts.information.neighbour_information import neighbour_information
from metrics.readouts.reading import Reading, undefined

# Principal components of input and stage between which information is estimated.
COMPONENTS = 2
_OF_INPUT = ("input_information", "mutual_information_binned")
# Beside the entropy of all units that of those that vary.
VARYING = "gaussian_entropy of units that vary"
OF_ONE = (*_OF_INPUT, "gaussian_entropy", VARYING, "participation_ratio")
_FEWEST = 5
# Distances between all pairs, for each of the shuffles, would cost more than all other readings together.
_MOST = 500


@dataclass(frozen=True)
class Geometry:
    """A representation of n examples by d units.

    Attributes:
        centred: without its mean, shape (n, d), float64; units that do not vary are 0 exactly.
        products: see :func:`metrics.readouts.information.leading_components.smaller_products`.
    """

    centred: Tensor
    products: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "Geometry":
        """Return that of h, shape (n, d)."""
        centred = centred_rows(rows)
        return cls(centred, smaller_products(centred))


def input_components(features: Tensor) -> Tensor | str:
    """Return the leading principal components of the input, shape (n, r), or why it has none.

    Args:
        features: the examples, shape (n, *shape).

    Examples:
        >>> import torch
        >>> images = torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> input_components(images).shape
        torch.Size([20, 2])
        >>> input_components(torch.ones(20, 3))
        'the input is the same for all examples'
    """
    if not features.is_floating_point():
        return "the input is made of codes, not of numbers"
    wide = features.flatten(1).double()
    if not bool(wide.isfinite().all()):
        return "the input is not finite"
    centred = wide - wide.mean(0)
    found = leading_components(centred, smaller_products(centred), COMPONENTS)
    return found if found.shape[1] else "the input is the same for all examples"


def geometry_readings(geometry: Geometry, inputs: Tensor | str, orders: Tensor) -> dict[str, Reading]:
    """Return what a stage's leading components know of the input's, its entropy and its dimension.

    Information is estimated of at most 500 examples, equally far apart.

    Args:
        geometry: of h, not the same for all examples.
        inputs: see :func:`input_components`.
        orders: of the examples, shape (s, n), for the null.

    Examples:
        >>> import torch
        >>> inputs = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double()
        >>> orders = torch.stack([torch.randperm(200, generator=torch.Generator().manual_seed(s)) for s in range(3)])
        >>> found = geometry_readings(Geometry.of(inputs @ torch.eye(2, 5).double()), inputs, orders)
        >>> round(found["participation_ratio"].value), found["gaussian_entropy"].reason[:25]
        (2, '3 of 5 units do not vary ')
    """
    centred, products = geometry.centred, geometry.products
    varying = centred.any(0)
    dead = int((~varying).sum())
    without = f"{dead} of {centred.shape[1]} units do not vary on the probe: the entropy is minus infinity"
    few = "too few examples: tr(Σ²) cannot be told from zero"
    return {
        **_information(centred, products, inputs, orders),
        "gaussian_entropy": Reading(*diagonal_entropy(centred), reason=without),
        VARYING: Reading(*diagonal_entropy(centred[:, varying])),
        "participation_ratio": Reading(*participation_ratio_of(centred, products), reason=few),
    }


def _information(centred: Tensor, products: Tensor, inputs: Tensor | str, orders: Tensor) -> dict[str, Reading]:
    if isinstance(inputs, str):
        return undefined(_OF_INPUT, inputs)
    if len(centred) < _FEWEST:
        return undefined(_OF_INPUT, f"{_FEWEST} examples or more are needed, got {len(centred)}")
    own = leading_components(centred, products, COMPONENTS)
    binned = binned_information(inputs[:, 0], own[:, 0])
    most = min(len(own), _MOST)
    chosen = torch.arange(most) * len(own) // most
    shuffles = orders[:, : len(chosen)].argsort(1)
    near = neighbour_information(inputs[chosen], own[chosen], shuffles)
    return dict(zip(_OF_INPUT, (replace(near, n=len(chosen)), Reading(binned)), strict=True))


def centred_rows(rows: Tensor) -> Tensor:
    """Return a representation without its mean, in float64; units that do not vary are 0 exactly.

    Examples:
        >>> import torch
        >>> centred_rows(torch.tensor([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])).tolist()
        [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """
    wide = rows.double()
    same = (rows == rows[0]).all(0)
    return (wide - wide.mean(0)).masked_fill(same, 0.0)
