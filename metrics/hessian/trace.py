"""Hutchinson's estimate of a trace, and of the Frobenius norm from the same products, with standard errors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BlockOperator = Callable[[Tensor], Tensor]
_AT_ONCE = 4


@dataclass(frozen=True)
class TraceEstimate:
    """What probes say about a symmetric matrix H.

    Attributes:
        trace, trace_error: the mean of vᵀHv and its standard error (NaN for one probe).
        frobenius, frobenius_error: √ of the mean of ‖Hv‖², and its standard error by the delta method.
        probes: how many vectors v.
    """

    trace: float
    trace_error: float
    frobenius: float
    frobenius_error: float
    probes: int


def signs(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return ``count`` vectors of random signs, shape (count, size), float32."""
    return torch.randint(2, (count, size), generator=generator).mul_(2).sub_(1).float()


def hutchinson(
    operator: BlockOperator,
    draw: Callable[[int], Tensor],
    least: int,
    most: int,
    tolerance: float,
    known: Sequence[tuple[float, float]] = (),
) -> TraceEstimate:
    """Return estimates of tr H = E vᵀHv and ‖H‖_F² = E ‖Hv‖² for v with E vvᵀ = I.

    Probes are added until the standard error of the trace is at most ``tolerance`` of its size: a rule on the standard
    error alone, since one on the running mean stops where it happens to stand still. With signs the variance of one
    probe is 2 (‖H‖_F² − Σ H_ii²).

    Args:
        operator: vectors (k, d) -> H of each, (k, d).
        draw: number of probes -> so many new ones, shape (k, d).
        least: probes before the rule is asked, 2 or more, the known ones included.
        most: probes in all.
        tolerance: see above, positive; 0 takes all.
        known: vᵀHv and ‖Hv‖² of probes that were multiplied before.

    Raises:
        ValueError: a product is not finite.

    References:
        Hutchinson 1989, A Stochastic Estimator of the Trace of the Influence Matrix, Communications in Statistics 19.
    """
    traces, squares = [trace for trace, _ in known], [square for _, square in known]
    while len(traces) < most:
        if len(traces) >= least and _error(traces) <= tolerance * abs(sum(traces) / len(traces)):
            break
        vectors = draw(min(_AT_ONCE, most - len(traces)))
        products = operator(vectors)
        if not bool(products.isfinite().all()):
            raise ValueError("a product with the Hessian is not finite")
        traces += (vectors.double() * products.double()).sum(1).tolist()
        squares += products.double().square().sum(1).tolist()
    frobenius = math.sqrt(sum(squares) / len(squares))
    return TraceEstimate(
        trace=sum(traces) / len(traces),
        trace_error=_error(traces),
        frobenius=frobenius,
        frobenius_error=_error(squares) / (2 * frobenius) if frobenius > 0 else 0.0,
        probes=len(traces),
    )


def moments(operator: Callable[[Tensor], Tensor], vector: Tensor) -> tuple[float, float]:
    """Return vᵀHv and ‖Hv‖² of one vector (d,)."""
    product = operator(vector).double()
    return float(vector.double() @ product), float(product @ product)


def _error(values: Sequence[float]) -> float:
    """Return the standard error of the mean, NaN of one value."""
    if len(values) < 2:
        return math.nan
    return float(torch.tensor(values, dtype=torch.float64).std()) / math.sqrt(len(values))
