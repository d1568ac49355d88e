"""What is wrong with a layer's gradients in a recent window of steps, relative to the size of the layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A layer's gradient has vanished if its root mean square is so small beside that of the layer with the largest.
VANISHING = 1e-4
# It explodes if it is that many times what it was in earlier windows, or that large for every weight.
GROWTH = 100.0
LARGE = 10.0
# Units are dead if no weight of theirs had a gradient; it is worth an alarm if so large a share of a layer's are.
DEAD_SHARE = 0.5
KINDS = ("vanishing", "exploding", "dead_units", "not_finite")


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something wrong with a layer.

    Attributes:
        kind: one of ``KINDS``.
        layer: the layer's name.
        epoch: when; None if nobody has said.
        step: the step of that epoch, from 1, at which it was first so in its window.
        value: what is too small or too large: root mean square of the gradient (relative to the model's largest for
            ``vanishing``), or share of dead units; NaN if not finite.
        text: the sentence that was told.
        what: the part of it that says what was seen.
    """

    kind: str
    layer: str
    epoch: int | None
    step: int
    value: float
    text: str
    what: str = ""


@dataclass(frozen=True)
class Window:
    """What a window of steps has measured.

    Attributes:
        steps: their numbers in the epoch, from 1, shape (w,).
        norms: of each layer's gradient at each step, shape (w, layers); NaN where it had none.
        sizes: number of parameters of each layer.
        dead: share of each layer's units without any gradient in the window; NaN where it has no units.
        is_absent: whether a layer had no gradient at a step, bool, shape (w, layers).
    """

    steps: Sequence[int]
    norms: np.ndarray
    sizes: np.ndarray
    dead: np.ndarray
    is_absent: np.ndarray

    @property
    def rms(self) -> np.ndarray:
        """Root mean square of a gradient's entries: its norm divided by the square root of the layer's size."""
        return np.asarray(self.norms / np.sqrt(self.sizes))

    def medians(self) -> np.ndarray:
        """Return each layer's median root mean square over the window, of finite ones; NaN where there is none."""
        return np.array([_median(column) for column in self.rms.T])


def _median(values: np.ndarray) -> float:
    finite = sorted(value for value in values.tolist() if math.isfinite(value))
    middle = len(finite) // 2
    return (finite[middle] + finite[~middle]) / 2 if finite else math.nan


def alarms_in(window: Window, earlier: Sequence[np.ndarray], layers: Sequence[str], epoch: int | None) -> list[Alarm]:
    """Return what is wrong in a window.

    A layer's gradient is g, n its number of parameters, r = ‖g‖ / √n and m the median of r over the window:
    ``vanishing`` if m < 10⁻⁴ max m over layers, ``exploding`` if max r > 100 × the median of m over earlier windows (in
    the first one: of r over its first half), or m > 10; ``not_finite`` if a step has NaN or infinity; ``dead_units`` if
    more than half of the units have no gradient at any of their weights over the whole window.

    Args:
        window: the window.
        earlier: :meth:`Window.medians` of windows before.
        layers: names.
        epoch: which it is, None if nobody has said.
    """
    medians, rms = window.medians(), window.rms
    largest = float(np.nanmax(medians)) if np.isfinite(medians).any() else 0.0
    found: list[Alarm] = []
    for at, layer in enumerate(layers):
        # Before there is an earlier window, the first half of this one stands for it.
        before = [one[at] for one in earlier] or rms[: len(rms) // 2, at]
        usual = _median(np.array(before))
        of_layer = (
            _not_finite(rms[:, at], window.is_absent[:, at]),
            _vanishing(medians[at], largest),
            _exploding(rms[:, at], medians[at], usual),
            _dead(window.dead[at]),
        )
        for kind, found_of in zip(("not_finite", "vanishing", "exploding", "dead_units"), of_layer, strict=True):
            if found_of is not None:
                place, value, text = found_of
                step = window.steps[place]
                when = f"step {step}" if epoch is None else f"epoch {epoch}, step {step}"
                sentence = f"{kind.replace('_', ' ')}: layer {layer}, {when}: {text}"
                found.append(Alarm(kind, layer, epoch, step, value, sentence, text))
    return found


# Place of the step in the window, the value, and what is wrong in words.
_Found = tuple[int, float, str] | None


def _not_finite(rms: np.ndarray, is_absent: np.ndarray) -> _Found:
    broken = ~np.isfinite(rms) & ~is_absent
    if not broken.any():
        return None
    text = f"the gradient has NaN or infinity ({int(broken.sum())} of {len(rms)} steps)"
    return int(broken.argmax()), math.nan, text


def _vanishing(median: float, largest: float) -> _Found:
    if not (largest > 0 and median < VANISHING * largest):
        return None
    share = float(median / largest)
    if not share:
        return 0, share, "every weight's gradient is 0, at half of the steps or more"
    return 0, share, f"root mean square of the gradient {share:.1e} of the largest layer's"


def _exploding(rms: np.ndarray, median: float, usual: float) -> _Found:
    finite = np.where(np.isfinite(rms), rms, 0.0)
    peak = float(finite.max())
    if usual > 0 and peak > GROWTH * usual:
        place = int(np.argmax(finite > GROWTH * usual))
        return place, peak, f"root mean square of the gradient {peak:.1e}, {peak / usual:.0f} times what it was"
    if median > LARGE:
        return 0, float(median), f"root mean square of the gradient {median:.1e}"
    return None


def _dead(share: float) -> _Found:
    if not share > DEAD_SHARE:
        return None
    # Rounded down: "100%" is all of them.
    return (
        0,
        float(share),
        f"{math.floor(share * 100 + 1e-9)}% of the units had no gradient at any look at them in the last steps",
    )
