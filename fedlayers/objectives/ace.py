"""Amended cross entropy: how far the prediction of a stage is from that of the next one."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fedlayers.core.checks import one_of

# Probabilities below that count as that: the forms that have no bound have one all the same.
_SMALLEST = 1e-12


def ce_i_next(own: Tensor, following: Tensor) -> Tensor:
    """Return −Σ_c q_i(c) log q_next(c), shape (n,), of log-probabilities (n, C); 0 to 27.6 nats."""
    return -(own.exp() * following.clamp(min=math.log(_SMALLEST))).sum(1)


def ce_next_i(own: Tensor, following: Tensor) -> Tensor:
    """Return −Σ_c q_next(c) log q_i(c), shape (n,), of log-probabilities (n, C); 0 to 27.6 nats."""
    return ce_i_next(following, own)


def js(own: Tensor, following: Tensor) -> Tensor:
    """Return (KL(q_i ‖ m) + KL(q_next ‖ m)) / 2, m = (q_i + q_next) / 2, shape (n,); 0 to log 2."""
    middle = torch.logaddexp(own, following) - math.log(2)
    return (own.exp() * (own - middle) + following.exp() * (following - middle)).sum(1) / 2


def sym_kl(own: Tensor, following: Tensor) -> Tensor:
    """Return KL(q_i ‖ q_next) + KL(q_next ‖ q_i), shape (n,), of log-probabilities (n, C); 0 to 55.3 nats."""
    a, b = (one.clamp(min=math.log(_SMALLEST)) for one in (own, following))
    return ((own.exp() - following.exp()) * (a - b)).sum(1)


VARIANTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce_i_next": ce_i_next,
    "ce_next_i": ce_next_i,
    "js": js,
    "sym_kl": sym_kl,
}


# ∂ACE / ∂ log q_i(c) of q_i, log q_i and log q_next, up to a multiple of q_i(c), which softmax does not feel.
def _slope_of_ce_i_next(q: Tensor, own: Tensor, following: Tensor) -> Tensor:
    return -q * following.clamp(min=math.log(_SMALLEST))


def _slope_of_ce_next_i(q: Tensor, own: Tensor, following: Tensor) -> Tensor:
    return -following.exp() * (own >= math.log(_SMALLEST))


def _slope_of_js(q: Tensor, own: Tensor, following: Tensor) -> Tensor:
    # What the middle adds to both parts cancels: probabilities sum to 1.
    return q * (own - torch.logaddexp(own, following) + math.log(2)) / 2


def _slope_of_sym_kl(q: Tensor, own: Tensor, following: Tensor) -> Tensor:
    smallest = math.log(_SMALLEST)
    apart = own.clamp(min=smallest) - following.clamp(min=smallest)
    return q * apart + (q - following.exp()) * (own >= smallest)


_SLOPES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ce_i_next": _slope_of_ce_i_next,
    "ce_next_i": _slope_of_ce_next_i,
    "js": _slope_of_js,
    "sym_kl": _slope_of_sym_kl,
}


def ace(variant: str, own: Tensor, following: Tensor) -> Tensor:
    """Return the amended cross entropy of each example, shape (n,).

    Args:
        variant: one of :data:`VARIANTS`.
        own: logits of stage i, shape (n, C); q_i is their softmax.
        following: logits of the next stage, shape (n, C).

    Raises:
        UserError: there is no such variant.

    Examples:
        >>> logits = torch.tensor([[0.0, 0.0], [9.0, 0.0]])
        >>> ace("js", logits, logits).abs().max().item() < 1e-6
        True
        >>> ace("ce_i_next", logits, logits[:1].expand(2, 2)).double().round(decimals=4).tolist()
        [0.6931, 0.6931]
    """
    one_of("ace_variant", variant, tuple(VARIANTS))
    return VARIANTS[variant](own.log_softmax(1), following.log_softmax(1))


def ace_slopes(variant: str, own: Tensor, following: Tensor) -> Tensor:
    """Return the derivative of an example's amended cross entropy by the logits of stage i, shape (C, …).

    In closed form, u − q_i Σ_c u(c) with u = ∂ACE / ∂ log q_i: a training asks for nothing else, at every step, and on
    narrow layers a graph costs more than what is computed.

    Args:
        variant: one of :data:`VARIANTS`.
        own: log-probabilities log q_i, shape (C, …), classes first.
        following: those of the next stage, taken as given.

    Examples:
        >>> own, following = torch.tensor([[0.0, 0.0], [0.0, 9.0]]).log_softmax(1)  # of one example
        >>> ace_slopes("js", own, following).double().round(decimals=4).tolist()
        [0.1373, -0.1373]
    """
    q = own.exp()
    slopes = _SLOPES[variant](q, own, following)
    return slopes - q * slopes.sum(0)
