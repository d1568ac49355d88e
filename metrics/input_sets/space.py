"""The part of the data space that a client's records span: a box along their principal directions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import Array, as_tensor
from metrics.contrastive.signs import with_signs

# Of the scores along a direction, this part at either end lies outside of the box.
_TRIMMED = 0.01


@dataclass(frozen=True)
class DataSpace:
    """A box in the space of records, and how to come from its coordinates to a record.

    Attributes:
        mean: of the records, shape (d,), float64.
        directions: principal directions, a row each, shape (r, d); signs by a rule.
        low, high: the ends of the box along each, shape (r,): the 1 and 99 % quantiles of the records' scores.
        least, most: of each feature, shape (d,): no sample goes beyond what the records have.
        shape: of one record.
    """

    mean: Tensor
    directions: Tensor
    low: Tensor
    high: Tensor
    least: Tensor
    most: Tensor
    shape: tuple[int, ...]

    @classmethod
    def of(cls, records: Array, dimensions: int) -> "DataSpace":
        """Return the space that records span.

        Args:
            records: shape (n, *shape), n ≥ 2, finite.
            dimensions: r, how many principal directions, at least 1; at most those in which the records vary are kept.

        Raises:
            ValueError: the records are too few, not finite, or all the same.
        """
        given = as_tensor(records, "records").double()
        if len(given) < 2 or given.ndim < 2:
            raise ValueError(f"records must have shape (records, …), 2 records or more, got {tuple(given.shape)}")
        if not bool(given.isfinite().all()):
            raise ValueError("records must be finite, got NaN or infinity")
        if dimensions < 1:
            raise ValueError(f"dimensions must be 1 or more, got {dimensions}")
        rows = given.flatten(1)
        mean = rows.mean(0)
        _, sizes, found = torch.linalg.svd(rows - mean, full_matrices=False)
        kept = min(dimensions, int((sizes > 1e-9 * sizes[0].clamp(min=1e-300)).sum()))
        if not kept or float(sizes[0]) == 0:
            raise ValueError("records must vary, got the same one again and again")
        directions = with_signs(found[:kept])
        scores = (rows - mean) @ directions.T
        ends = [torch.quantile(scores, part, 0) for part in (_TRIMMED, 1 - _TRIMMED)]
        return cls(mean, directions, ends[0], ends[1], rows.amin(0), rows.amax(0), tuple(given.shape[1:]))

    def records(self, coordinates: Tensor) -> Tensor:
        """Return the records at places of the box.

        Args:
            coordinates: in [0, 1] along each direction, shape (m, r).

        Returns:
            Shape (m, *shape), float64, no feature beyond the records' own range.
        """
        scores = self.low + coordinates.to(self.low) * (self.high - self.low)
        rows = self.mean + scores @ self.directions
        return torch.minimum(torch.maximum(rows, self.least), self.most).reshape(-1, *self.shape)
