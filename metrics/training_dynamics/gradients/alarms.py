"""What is wrong with a layer's gradients in a recent window of steps, relative to the size of the layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True, slots=True)
class LayerSteps:
    """One layer at the steps of a window at which it had a gradient.

    Attributes:
        norms: of the gradient.
        rms: root mean square of its entries.
    """

    norms: Sequence[float]
    rms: Sequence[float]

    @property
    def finite(self) -> list[float]:
        """Those root mean squares that are finite."""
        return [value for value in self.rms if math.isfinite(value)]


@dataclass(frozen=True)
class Window:
    """What a window of steps has measured; lists, for windows are short, and numpy is slow with those.

    Attributes:
        steps: their numbers in the epoch, from 1.
        norms: layer by layer, of its gradient at each step; NaN where it had none.
        sizes: number of parameters of each layer.
        dead: share of each layer's units without any gradient in the window; NaN where it has no units.
        is_absent: layer by layer, whether it had no gradient at a step.
    """

    steps: Sequence[int]
    norms: Sequence[Sequence[float]]
    sizes: Sequence[float]
    dead: Sequence[float]
    is_absent: Sequence[Sequence[bool]]

    @cached_property
    def rms(self) -> list[list[float]]:
        """Root mean square of a gradient's entries: its norm divided by the square root of the layer's size."""
        roots = [math.sqrt(size) or math.nan for size in self.sizes]
        return [[norm / root for norm in own] for own, root in zip(self.norms, roots, strict=True)]

    @cached_property
    def by_layer(self) -> list[LayerSteps]:
        """Each layer at the steps at which it had a gradient."""
        found = []
        for absent, norms, rms in zip(self.is_absent, self.norms, self.rms, strict=True):
            there = [place for place, is_absent in enumerate(absent) if not is_absent]
            found.append(LayerSteps([norms[place] for place in there], [rms[place] for place in there]))
        return found

    @cached_property
    def medians(self) -> list[float]:
        """Each layer's median root mean square over the window, of finite ones; NaN where there is none."""
        return [_median(own) for own in self.rms]


def _median(values: Sequence[float]) -> float:
    finite = sorted(value for value in values if math.isfinite(value))
    middle = len(finite) // 2
    return (finite[middle] + finite[~middle]) / 2 if finite else math.nan


def alarms_in(
    window: Window, earlier: Sequence[Sequence[float]], layers: Sequence[str], epoch: int | None
) -> list[Alarm]:
    """Return what is wrong in a window.

    A layer's gradient is g, n its number of parameters, r = ‖g‖ / √n and m the median of r over the window:
    ``vanishing`` if m < 10⁻⁴ max m over layers, ``exploding`` if max r > 100 × the median of m over earlier windows (in
    the first one: of r over its first half), or m > 10; ``not_finite`` if a step has NaN or infinity; ``dead_units`` if
    more than half of the units have no gradient at any of their weights over the whole window.

    Args:
        window: the window.
        earlier: :attr:`Window.medians` of windows before.
        layers: names.
        epoch: which it is, None if nobody has said.
    """
    largest = max((median for median in window.medians if not math.isnan(median)), default=0.0)
    found: list[Alarm] = []
    for at, layer in enumerate(layers):
        # Before there is an earlier window, the first half of this one stands for it.
        rms, median = window.rms[at], window.medians[at]
        usual = _median([one[at] for one in earlier] or rms[: len(rms) // 2])
        of_layer = (
            _not_finite(rms, window.is_absent[at]),
            _vanishing(median, largest),
            _exploding(rms, median, usual),
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


def _not_finite(rms: Sequence[float], is_absent: Sequence[bool]) -> _Found:
    broken = [place for place, value in enumerate(rms) if not math.isfinite(value) and not is_absent[place]]
    if not broken:
        return None
    text = f"the gradient has NaN or infinity ({len(broken)} of {len(rms)} steps)"
    return broken[0], math.nan, text


def _vanishing(median: float, largest: float) -> _Found:
    if not (largest > 0 and median < VANISHING * largest):
        return None
    share = median / largest
    if not share:
        return 0, share, "every weight's gradient is 0, at half of the steps or more"
    return 0, share, f"root mean square of the gradient {share:.1e} of the largest layer's"


def _exploding(rms: Sequence[float], median: float, usual: float) -> _Found:
    finite = [value if math.isfinite(value) else 0.0 for value in rms]
    peak = max(finite)
    if usual > 0 and peak > GROWTH * usual:
        place = next(place for place, value in enumerate(finite) if value > GROWTH * usual)
        return place, peak, f"root mean square of the gradient {peak:.1e}, {peak / usual:.0f} times what it was"
    if median > LARGE:
        return 0, median, f"root mean square of the gradient {median:.1e}"
    return None


def _dead(share: float) -> _Found:
    if not share > DEAD_SHARE:
        return None
    # Rounded down: "100%" is all of them.
    return (
        0,
        share,
        f"{math.floor(share * 100 + 1e-9)}% of the units had no gradient at any look at them in the last steps",
    )
