"""Gradient statistics of an epoch, one layer at a time, from windows of steps: nothing is kept of a single step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from metrics.training_dynamics.gradients.alarms import Window


@dataclass
class Running:
    """Mean, standard deviation and ends of a stream of numbers; those that are not finite are counted apart.

    References:
        Chan, Golub & LeVeque 1983, Algorithms for Computing the Sample Variance.
    """

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    not_finite: int = 0

    def add(self, values: Sequence[float]) -> None:
        """Add numbers."""
        # Windows are short: numpy takes three times as long.
        finite = [value for value in values if math.isfinite(value)]
        self.not_finite += len(values) - len(finite)
        if not finite:
            return
        count = len(finite)
        mean = math.fsum(finite) / count
        gap, total = mean - self.mean, self.n + count
        self.squares += math.fsum((value - mean) ** 2 for value in finite) + gap**2 * self.n * count / total
        self.mean += gap * count / total
        self.n = total
        self.low, self.high = min(self.low, *finite), max(self.high, *finite)

    @property
    def sd(self) -> float:
        """Sample standard deviation, NaN of fewer than two numbers."""
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else math.nan

    def as_dictionary(self) -> dict[str, float | int | None]:
        """Return everything as it stands in JSON."""
        if not self.n:
            return {"n": 0, "mean": None, "sd": None, "min": None, "max": None, "not_finite": self.not_finite}
        found = {"n": self.n, "mean": self.mean, "sd": self.sd, "min": self.low, "max": self.high}
        return {**found, "not_finite": self.not_finite}


@dataclass
class LayerEpoch:
    """One layer in one epoch.

    Attributes:
        norm: of the gradient, over steps.
        rms: root mean square of the gradient's entries, over steps.
        update_ratio: ‖Δw‖ / ‖w‖ of single steps.
        weight_norm: ‖w‖ before steps that were looked at.
        dead_share: share of units without a gradient in a window, over windows.
        curve: step at the end of each window, and the mean norm in it.
    """

    norm: Running = field(default_factory=Running)
    rms: Running = field(default_factory=Running)
    update_ratio: Running = field(default_factory=Running)
    weight_norm: Running = field(default_factory=Running)
    dead_share: Running = field(default_factory=Running)
    curve: list[tuple[int, float]] = field(default_factory=list)

    def add(self, at: int, window: Window, update_ratios: Sequence[float]) -> None:
        """Add what a window has of the layer in place ``at``, and the ratios of updates seen in it, NaN if unknown."""
        layer = window.by_layer[at]
        self.norm.add(layer.norms)
        self.rms.add(layer.rms)
        self.update_ratio.add([ratio for ratio in update_ratios if math.isfinite(ratio)])
        dead = window.dead[at]
        if math.isfinite(dead):
            self.dead_share.add([dead])
        finite = [norm for norm in layer.norms if math.isfinite(norm)]
        if finite:
            # Of one or two, as a short training has, numpy would give the same in twenty times as long.
            mean = float(np.mean(finite)) if len(finite) > 2 else sum(finite) / len(finite)
            self.curve.append((window.steps[-1], mean))
