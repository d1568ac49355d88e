"""A preprocessing step that puts every client's units in the order in which they match a reference's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.distances.steps.preprocessing import PreprocessingStep
from metrics.distances.weights.alignment import align_model, check_cost
from metrics.distances.weights.participant import Client, Model
from metrics.distances.weights.unit_chain import reordered


@dataclass(frozen=True, eq=False)
class AlignStep(PreprocessingStep):
    """Reorders every client's units so that they match the reference's; what the models compute does not change.

    Networks that differ in the order of their units only become equal. How units are matched:
    :func:`metrics.distances.weights.alignment.align_model`; for which models: chains, see
    :func:`metrics.distances.weights.unit_chain.reordered_by`. Gradients are reordered like their models. The step comes
    before steps that flatten or fuse. A client whose compared arrays are not all finite has no order: all its weights
    and its gradient become NaN.

    Args:
        reference: the network whose order of units is the goal; a gradient with ``unit_cost="gradient"``. None: the
            first client whose weights are finite, so that distances may depend on which client comes first.
        unit_cost: ``l2``, ``l1``, ``pearson``, ``spearman`` or ``gradient``, see
            :func:`metrics.distances.weights.alignment.unit_costs`.
        sort: whether to compare sorted weights.

    Raises:
        ValueError: if the cost is unknown or does not go with ``sort``.
    """

    reference: Model | None = None
    unit_cost: str = "l2"
    sort: bool = False
    # Measured on a small convolutional network; fusion, which copies all weights, is 1.
    cost = 300.0

    def __post_init__(self) -> None:
        check_cost(self.unit_cost, self.sort)

    def __call__(self, clients: Sequence[Client]) -> list[Client]:
        """Return the aligned clients.

        Raises:
            ValueError: if a client has no gradient where gradients are matched, or its model cannot be aligned.
        """
        compared = [self._compared(client) for client in clients]
        finite = [model for model in compared if _is_finite(model)]
        if not finite:
            return [_without_numbers(client) for client in clients]
        reference = finite[0] if self.reference is None else self.reference
        return [
            self._aligned(client, model, reference) if _is_finite(model) else _without_numbers(client)
            for client, model in zip(clients, compared, strict=True)
        ]

    def _compared(self, client: Client) -> Model:
        if self.unit_cost != "gradient":
            return client.model
        if client.gradient is None:
            raise ValueError("unit_cost='gradient' needs clients with gradients")
        return client.gradient

    def _aligned(self, client: Client, compared: Model, reference: Model) -> Client:
        _, matches = align_model(reference, compared, self.unit_cost, self.sort)
        orders = {match.layer: match.order for match in matches}
        return replace(
            client,
            model=reordered(client.model, orders),
            gradient=None if client.gradient is None else reordered(client.gradient, orders),
        )


def _is_finite(model: Model) -> bool:
    return all(np.isfinite(array.values).all() for layer in model for array in layer.arrays)


def _without_numbers(client: Client) -> Client:
    return replace(
        client, model=_nan(client.model), gradient=None if client.gradient is None else _nan(client.gradient)
    )


def _nan(model: Model) -> Model:
    """Return a model of the same shapes whose entries are all NaN."""
    return tuple(
        replace(layer, arrays=tuple(replace(array, values=array.values * np.nan) for array in layer.arrays))
        for layer in model
    )
