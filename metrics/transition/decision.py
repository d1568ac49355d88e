"""Where a rising profile crosses its threshold, how sure that is, and whether there is such a place at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrics.transition.resampling import expanded_level


@dataclass(frozen=True)
class Transition:
    """Up to which layer a profile stays below 1.

    Attributes:
        shared: how many layers come before the transition, from 2 to L − 1; None if none was found.
        low, high: the 1 − α interval of that number; None if none was found.
        confidence: the share of resamples whose number is the same; NaN if none was found.
        profile: the profile, shape (L,).
        lower, upper: its 1 − α interval, shape (L,).
        stderr: its standard error, shape (L,).
        reason: why none was found; empty if one was.
    """

    shared: int | None
    low: int | None
    high: int | None
    confidence: float
    profile: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    stderr: np.ndarray
    reason: str = ""


def find_transition(profiles: np.ndarray, units: int, error_rate: float = 0.05) -> Transition:
    """Return how many layers a rising profile p_1 ≤ … ≤ p_L stays at or below 1, if it first stays and then rises.

    A transition is found if the 1 − α intervals say two things: the second layer is below 1, so that there is a plateau
    of more than the first layer, which is the measure of all others and says nothing by itself, and the last one is
    above 1. Where one of them does not hold, as in a profile that is flat, or that grows steadily from the start, a
    transition is found with probability α or less: both are needed, so that neither has to pay for the other
    (intersection-union test), nothing is lost by looking at all layers, because the profile never falls, and each
    looks at one end of its interval only, α / 2, which leaves as much again for few batches of skewed scores. The
    place is that of the profile itself, with an interval.

    Args:
        profiles: the profile and after it its bootstrap resamples, shape (R + 1, L).
        units: batches or clients that were resampled.
        error_rate: α, in (0, 1).

    References:
        Berger 1982, Multiparameter Hypothesis Testing and Acceptance Sampling, Technometrics 24 (intersection-union).

    Examples:
        >>> import numpy as np
        >>> found = find_transition(np.tile([0.0, 0.1, 0.2, 8.0], (100, 1)), units=8)
        >>> found.shared, found.low, found.high, found.confidence
        (3, 3, 3, 1.0)
        >>> find_transition(np.tile([0.0, 3.0, 6.0, 9.0], (100, 1)), units=8).reason
        'the second layer is above the threshold (3 of it, 95 % interval 3 to 3): the profile rises from the start'
    """
    profile, drawn = profiles[0], profiles[1:]
    if units < 2 or not len(drawn):
        none = np.full(len(profile), np.nan)
        why = "one batch or client has no uncertainty that could be told"
        return Transition(None, None, None, np.nan, profile, none, none, none, why)
    level = expanded_level(error_rate / 2, units)
    # What is not known of a resample may be anything: each bound takes the worse.
    upper = _quantile(np.where(np.isnan(drawn), np.inf, drawn), 1 - level, "higher")
    lower = _quantile(np.where(np.isnan(drawn), -np.inf, drawn), level, "lower")
    stderr = drawn.std(0, ddof=1) if len(drawn) > 1 else np.full(len(profile), np.nan)
    if reason := _why_none(profile, lower, upper, error_rate):
        return Transition(None, None, None, np.nan, profile, lower, upper, stderr, reason)
    shared = int((profile <= 1).sum())
    low, high = int((upper <= 1).sum()), int((lower <= 1).sum())
    confidence = float(((drawn <= 1).sum(1) == shared).mean())
    return Transition(shared, low, high, confidence, profile, lower, upper, stderr)


def agreement(choices: Sequence[int | None], chosen: int | None) -> float:
    """Return the share of clients whose own choice is the common one; None, no transition, is a choice, too.

    >>> agreement([3, 3, None, 4], 3)
    0.5
    """
    return sum(choice == chosen for choice in choices) / len(choices)


def _why_none(profile: np.ndarray, lower: np.ndarray, upper: np.ndarray, error_rate: float) -> str:
    if len(profile) < 3:
        return f"{len(profile)} layers with weights are too few: a plateau of two and a rise take three"
    if not np.isfinite(profile).all():
        return f"the measure has no value in layer {int(np.argmin(np.isfinite(profile))) + 1} of {len(profile)}"
    second, last = (
        f"({profile[at]:.3g} of it, {100 * (1 - error_rate):g} % interval {lower[at]:.3g} to {upper[at]:.3g})"
        for at in (1, -1)
    )
    reasons = {
        f"the second layer is above the threshold {second}: the profile rises from the start": lower[1] > 1,
        f"the second layer is not surely below the threshold {second}: the profile may rise from the start": (
            not upper[1] <= 1
        ),
        f"the last layer is below the threshold {last}: the profile stays flat": upper[-1] <= 1,
        f"the last layer is not surely above the threshold {last}: the profile may stay flat": not lower[-1] > 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _quantile(values: np.ndarray, level: float, method: str) -> np.ndarray:
    found: np.ndarray = np.quantile(values, level, axis=0, method=method)  # type: ignore[call-overload]
    return found
