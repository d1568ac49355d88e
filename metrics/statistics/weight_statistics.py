"""Norms, moments and shares of weights, and how clients' updates relate to their mean, on tensors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metrics.array_arguments import takes_arrays


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean, mean absolute value and spread of some numbers; disjoint sets merge exactly.

    Attributes:
        count: how many numbers.
        mean: their mean, 0 if there are none.
        absolute: the mean of their absolute values, 0 if there are none.
        deviations: the sum of squared deviations from ``mean``.
    """

    count: int
    mean: float
    absolute: float
    deviations: float

    @property
    def variance(self) -> float:
        """The unbiased variance; NaN for fewer than two numbers."""
        return self.deviations / (self.count - 1) if self.count > 1 else math.nan

    @property
    def rms(self) -> float:
        """The root mean square; NaN for no numbers."""
        return math.sqrt(self.deviations / self.count + self.mean**2) if self.count else math.nan


@takes_arrays
def squared_norm(tensors: Sequence[Tensor]) -> float:
    """Return the sum of squares over all tensors, summed in float64 (float32 norms are wrong for big tensors).

    Examples:
        >>> import torch
        >>> squared_norm([torch.tensor([3.0]), torch.tensor([4.0])])
        25.0
    """
    return sum(float(tensor.square().sum(dtype=torch.float64)) for tensor in tensors)


@takes_arrays
def inner_product(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Return the inner product of two lists of tensors of equal shapes, multiplied and summed in float64.

    Examples:
        >>> import torch
        >>> inner_product([torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 4.0])])
        11.0
    """
    pairs = zip(left, right, strict=True)
    return sum(float((a.double() * b.double()).sum()) for a, b in pairs)


@takes_arrays
def moments(tensors: Sequence[Tensor]) -> Moments:
    """Return the moments of all numbers in the tensors.

    References:
        Chan, Golub & LeVeque 1983, Algorithms for computing the sample variance (two passes, then merged).

    Examples:
        >>> import torch
        >>> found = moments([torch.tensor([1.0, -3.0])])
        >>> found.mean, found.absolute
        (-1.0, 2.0)
    """
    return merged([tensor_moments(tensor.detach()) for tensor in tensors if tensor.numel()])


def merged(parts: Sequence[Moments]) -> Moments:
    """Return the moments of the union of disjoint sets of numbers."""
    count = sum(part.count for part in parts)
    if not count:
        return Moments(0, 0.0, 0.0, 0.0)
    mean = sum(part.count * part.mean for part in parts) / count
    absolute = sum(part.count * part.absolute for part in parts) / count
    deviations = sum(part.deviations + part.count * (part.mean - mean) ** 2 for part in parts)
    return Moments(count, mean, absolute, deviations)


@takes_arrays
def count_small(tensors: Sequence[Tensor], threshold: float) -> int:
    """Return how many numbers have an absolute value below ``threshold``.

    Examples:
        >>> import torch
        >>> count_small([torch.tensor([0.001, -0.5, 0.02])], threshold=0.05)
        2
    """
    return sum(int(torch.count_nonzero(tensor.abs() < threshold)) for tensor in tensors)


def _double(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def tensor_moments(tensor: Tensor) -> Moments:
    """Return the moments of the numbers in one tensor, at least one.

    Examples:
        >>> tensor_moments(torch.tensor([1.0, -3.0])).deviations
        8.0
    """
    count = tensor.numel()
    mean = float(tensor.sum(dtype=torch.float64)) / count
    deviations = float((tensor - mean).square().sum(dtype=torch.float64))
    return Moments(count, mean, float(tensor.abs().sum(dtype=torch.float64)) / count, deviations)


@dataclass(frozen=True)
class UpdateProducts:
    """Inner products of K clients' updates with each other's weighted mean, per layer; sums over layers are exact.

    Attributes:
        shares: the clients' weights p_k in the mean, shape (K,), summing to 1.
        squares: ‖Δ_k‖², shape (K, L).
        with_mean: ⟨Δ_k, Δ̄⟩ with Δ̄ = Σ_k p_k Δ_k, shape (K, L).
        mean_squares: ‖Δ̄‖², shape (L,).
        drifts: ‖w_k − w_after,k‖², shape (K, L); NaN if nothing was aggregated.
    """

    shares: Tensor
    squares: Tensor
    with_mean: Tensor
    mean_squares: Tensor
    drifts: Tensor


def update_products(
    weights: Sequence[Mapping[str, Tensor]],
    starts: Sequence[Mapping[str, Tensor]],
    made: Sequence[Mapping[str, Tensor]] | None,
    shares: Sequence[float],
    layers: Sequence[Sequence[str]],
) -> UpdateProducts:
    """Return the inner products behind drift, update cosine and dissimilarity, in two passes over the weights.

    Args:
        weights: K mappings, parameter name -> weights after local training.
        starts: K mappings, parameter name -> the weights w_start,k that the client started from; Δ_k = w_k − w_start,k.
        made: K mappings, parameter name -> the aggregated weights for it; None if nothing was aggregated.
        shares: K weights p_k, summing to 1.
        layers: for each of L layers the names of its parameters.

    Returns:
        The products in float64; differences are taken before anything is squared. Cost O(K · parameters), memory
        one model in float64.

    Examples:
        >>> import torch
        >>> start = {"w": torch.zeros(2)}
        >>> clients = [{"w": torch.tensor([1.0, 0.0])}, {"w": torch.tensor([0.0, 1.0])}]
        >>> found = update_products(clients, [start, start], None, [0.5, 0.5], [["w"]])
        >>> found.squares.flatten().tolist(), found.mean_squares.tolist()
        ([1.0, 1.0], [0.5])
    """
    mean = {name: torch.zeros_like(starts[0][name], dtype=torch.float64) for names in layers for name in names}
    for share, client, start in zip(shares, weights, starts, strict=True):
        for name, total in mean.items():
            total.add_(client[name] - start[name], alpha=share)
    squares, with_mean = (torch.zeros(len(weights), len(layers), dtype=torch.float64) for _ in range(2))
    drifts = torch.full_like(squares, math.nan)
    for k, client in enumerate(weights):
        for index, names in enumerate(layers):
            updates = [client[name] - starts[k][name] for name in names]
            squares[k, index] = squared_norm(updates)
            with_mean[k, index] = inner_product(updates, [mean[name] for name in names])
            if made is not None:
                drifts[k, index] = squared_norm([client[name] - made[k][name] for name in names])
    mean_squares = [squared_norm([mean[name] for name in names]) for names in layers]
    return UpdateProducts(_double(shares), squares, with_mean, _double(mean_squares), drifts)


def cosine(inner: float, left_square: float, right_square: float) -> float:
    """Return ⟨a, b⟩ / (‖a‖‖b‖) from the three products; NaN if a or b is zero."""
    value = _ratio(inner, math.sqrt(left_square) * math.sqrt(right_square))
    # Rounding may leave the range by an ulp; max and min would turn NaN into a number.
    return math.copysign(1.0, value) if abs(value) > 1 else value


def b_dissimilarity(shares: Tensor, squares: Tensor, mean_square: float) -> float:
    """Return how much vectors differ from their weighted mean: B = √(Σ_k p_k ‖Δ_k‖² / ‖Σ_k p_k Δ_k‖²).

    Args:
        shares: p_k, shape (K,), summing to 1.
        squares: ‖Δ_k‖², shape (K,).
        mean_square: ‖Σ_k p_k Δ_k‖².

    Returns:
        B ≥ 1, 1 if all vectors are equal; NaN if the mean is zero.

    References:
        Li et al. 2020, Federated Optimization in Heterogeneous Networks (FedProx), definition 3, arXiv 1812.06127.

    Examples:
        >>> import torch
        >>> round(b_dissimilarity(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0]), 0.5), 4)
        1.4142
    """
    value = math.sqrt(_ratio(float(shares @ squares), mean_square))
    return 1.0 if value < 1 else value


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else math.nan
