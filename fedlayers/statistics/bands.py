"""What the band around a mean is: percentiles, standard deviations, an interval of the mean, or the whole range."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

BANDS = ("sd", "ci", "range")
LEVEL = 0.95
_chosen: ContextVar[str | None] = ContextVar("band", default=None)


@contextmanager
def bands_of(kind: str | None) -> Iterator[None]:
    """Let all bands that are drawn in a block of code be of one of ``BANDS``; None for those of the figures."""
    before = _chosen.set(kind)
    try:
        yield
    finally:
        _chosen.reset(before)


def chosen_band() -> str | None:
    """Return the kind of bands that was asked for, None if none was."""
    return _chosen.get()


def band_ends(values: Any, kind: str, limits: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and the upper end of a band, one for each group.

    Args:
        values: a pandas series, grouped.
        kind: one of ``BANDS``; ``ci`` is mean ± t s / √n, t Student's quantile at n − 1 degrees of freedom. Of a single
            value ``sd`` and ``ci`` are NaN.
        limits: of the quantity: no band reaches beyond.
    """
    if kind == "range":
        return values.min().to_numpy(float), values.max().to_numpy(float)
    mean, half = values.mean().to_numpy(float), values.std(ddof=1).to_numpy(float)
    if kind == "ci":
        # SciPy takes a fifth of a second, which few bands need.
        from scipy.special import stdtrit

        count = values.size().to_numpy()
        half = half * stdtrit(np.maximum(count - 1, 1), (1 + LEVEL) / 2) / np.sqrt(count)
    # With three values t is 4.3: an interval that is symmetric goes below zero for many a variance.
    return np.clip(mean - half, *limits), np.clip(mean + half, *limits)


def name_of_band(kind: str, of: str) -> str:
    """Return what bands of a kind over clients, pairs or runs are called in a legend."""
    return {
        "sd": f"bands: mean ± standard deviation over {of}",
        "ci": f"bands: 95 % t interval over {of}",
        "range": f"bands: lowest to highest of {of}",
    }[kind]
