"""Up to which layer the clients should share the model: what every client's measures say, and all of them together."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fedlayers.core.layers import Layer
from fedlayers.core.records import Record, Row
from fedlayers.core.seeding import numpy_generator
from metrics.base import ClientView, Facts, Measurement, Metric, ServerView, at, measured
from metrics.probe.payload import sent_outputs, shared_outputs
from metrics.transition.consensus import consensus_profiles
from metrics.transition.decision import Transition, agreement, find_transition
from metrics.transition.measuring import candidates, measured_batches_of
from metrics.transition.profiles import BATCHED, MEASURES, Profiles, profiles_of

_ELHUSSEIN = "Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829; own rule, see metrics.transition.decision"
_POSITIONS = "pooled"
COMBINED = "combined"


def _facts(name: str, unit: str, low: float, high: float, direction: str = "neutral") -> Facts:
    return Facts(name, unit, low, high, direction, _ELHUSSEIN, cost="pass", minimum_n=2)


class LayerTransition(Metric):
    """Where the layers that all clients can share end, by one layer measure or several, with the evidence.

    Each measure gives every layer with weights that does not normalise a rise: 0 as the first one, never falling, 1 at
    the measure's threshold τ. Client half: ``sensitivity`` (Σ (w ⊙ g)² / N), ``curvature`` (vᵀHv / d, d random signs
    v) and ``gradients`` (batch gradients, sketched) on up to B batches of equal size without an example in common, in
    evaluation mode, and the outputs of the layers on the probe for ``similarity``. Server half, for each measure, and
    if there are several for what most of them say (``combined``), in ``variant``:

    - layer_rise: of every client, and the median over clients; standard error by bootstrap over batches, and for the
      median over clients, too, n batches or clients. layer_rise_low, layer_rise_high: its 1 − α interval.
    - transition: how many layers come before it, ``layer`` is the last of them; missing with the reason where none is
      found, which happens by error with probability α at most where there is none.
    - transition_low, transition_high: the 1 − α interval of that number; transition_confidence: the share of
      resamples in which it is the same.
    - transition_agreement: the share of clients whose own transition, or lack of one, is the common one.

    What is of a client is its own (``client``), what is of all together the server's. Intervals are those of
    :func:`metrics.transition.decision.find_transition`; thresholds are of S_l
    (:func:`metrics.transition.evidence.sensitivity.sensitivity_rise`), curvature over that of the first layer, the
    share of variance between clients, and unlikeness over that of chance.

    Args:
        measures: one or more of ``sensitivity``, ``curvature``, ``gradients``, ``similarity``.
        thresholds: measure -> τ; of those left out it is 1.15, 2, 0.5 and 1.
        scope: ``client_train``, ``client_val`` or ``client_test``: where the batches come from.
        batches: B, 2 or more; clients with fewer examples use fewer, and those that cannot fill two take no part.
        batch_examples: examples in a batch, 1 or more.
        resamples: of the bootstrap, 100 or more.
        error_rate: α, in (0, 0.5).
        rounds, moments: see :class:`metrics.base.Metric`.

    References:
        Elhussein & Gürsoy 2025, PLayer-FL, arXiv 2502.08829; Efron & Tibshirani 1993; Hesterberg 2015.
    """

    facts = (
        _facts("layer_rise", "1", -math.inf, math.inf),
        _facts("layer_rise_low", "1", -math.inf, math.inf),
        _facts("layer_rise_high", "1", -math.inf, math.inf),
        _facts("transition", "layers", 2, math.inf),
        _facts("transition_low", "layers", 1, math.inf),
        _facts("transition_high", "layers", 2, math.inf),
        _facts("transition_confidence", "1", 0, 1, "higher"),
        _facts("transition_agreement", "1", 0, 1, "higher"),
    )

    def __init__(
        self,
        measures: Sequence[str] = ("sensitivity",),
        thresholds: Mapping[str, float] | None = None,
        scope: str = "client_train",
        batches: int = 16,
        batch_examples: int = 32,
        resamples: int = 1000,
        error_rate: float = 0.05,
        rounds: Sequence[str | int] = ("first", "last"),
        moments: Sequence[str] = ("after_local",),
    ) -> None:
        super().__init__(rounds, moments)
        if scope not in ("client_train", "client_val", "client_test"):
            raise ValueError(f"scope must be client_train, client_val or client_test, got {scope!r}")
        for name, value, least in (
            ("batches", batches, 2),
            ("batch_examples", batch_examples, 1),
            ("resamples", resamples, 100),
        ):
            if value < least:
                raise ValueError(f"{name} must be {least} or more, got {value!r}")
        if not 0 < error_rate < 0.5:
            raise ValueError(f"error_rate must be in (0, 0.5), got {error_rate!r}")
        self.measures, self.thresholds = _checked(measures, thresholds or {})
        self.uses_probe = "similarity" in self.measures
        self.scope, self.batches, self.batch_examples = scope, batches, batch_examples
        self.resamples, self.error_rate = resamples, error_rate

    def client(self, view: ClientView) -> Measurement:
        """Return the measures of every batch, and the outputs on the probe; the values are the server's to make."""
        batched = [name for name in self.measures if name in BATCHED]
        payload = measured_batches_of(view, self.scope, self.batches, self.batch_examples, batched) if batched else {}
        return Measurement([], payload, shared=shared_outputs(view, _POSITIONS) if self.uses_probe else {})

    def server(self, view: ServerView) -> Measurement:
        """Return profiles, transitions and agreement for each measure and all together."""
        layers = candidates(view.layers)
        outputs = sent_outputs(view, _POSITIONS) if self.uses_probe else {}
        found = profiles_of(
            self.thresholds, layers, view.payloads, outputs, view.clients, self.batches, self.resamples, view.seed
        )
        rows: list[Row] = []
        for name, profiles in found.items():
            rows += self._rows(name, profiles, layers, view)
        return Measurement(rows)

    def _rows(self, name: str, profiles: Profiles, layers: Sequence[Layer], view: ServerView) -> Iterator[Row]:
        """Yield the rows of one measure."""
        scope = {"similarity": "probe", COMBINED: None}.get(name, self.scope)
        columns: dict[str, Any] = {"variant": name, "scope": scope}
        choices = []
        for client, rises in profiles.rises.items():
            own = find_transition(rises, profiles.units[client], self.error_rate)
            choices.append(own.shared)
            yield from _of_one(own, profiles.units[client], layers, {**columns, "client": client, "owner": "client"})
        for client, reason in profiles.reasons.items():
            yield measured("transition", math.nan, reason, client=client, owner="client", **columns)
        if not profiles.rises:
            yield measured(
                "transition", math.nan, next(iter(profiles.reasons.values()), "no client replied"), **columns
            )
            return
        count = len(profiles.rises)
        generator = numpy_generator(view.seed, f"transition/{name}")
        together = consensus_profiles(np.stack(list(profiles.rises.values())), generator)
        units = count if count > 1 else next(iter(profiles.units.values()))
        common = find_transition(together, units, self.error_rate)
        yield from _of_one(common, units, layers, columns)
        yield measured("transition_agreement", agreement(choices, common.shared), n=count, **columns)


def _of_one(found: Transition, n: int, layers: Sequence[Layer], columns: Mapping[str, Any]) -> Iterator[Record]:
    """Yield the rows of one profile and its transition."""
    bounds = {"layer_rise_low": found.lower, "layer_rise_high": found.upper}
    for place, layer in enumerate(layers):
        error = float(found.stderr[place])
        stderr = error if math.isfinite(error) else None
        yield measured(
            "layer_rise",
            float(found.profile[place]),
            "it is not defined here",
            stderr=stderr,
            n=n,
            **columns,
            **at(layer),
        )
        for name, bound in bounds.items():
            yield measured(name, float(bound[place]), "it is not known", n=n, **columns, **at(layer))
    if found.shared is None or found.low is None or found.high is None:
        yield measured("transition", math.nan, found.reason, n=n, **columns)
        return
    last = at(layers[found.shared - 1])
    yield measured("transition", found.shared, n=n, **columns, **last)
    yield measured("transition_low", max(found.low, 1), n=n, **columns, **last)
    yield measured("transition_high", found.high, n=n, **columns, **last)
    yield measured("transition_confidence", found.confidence, n=n, **columns, **last)


def _checked(measures: Sequence[str], thresholds: Mapping[str, float]) -> tuple[list[str], dict[str, float]]:
    """Return the measures in their order and the threshold of each."""
    names = list(MEASURES)
    if isinstance(measures, str) or not measures or not set(measures) <= set(names):
        raise ValueError(f"measures must be a list of one or more of {', '.join(names)}, got {measures!r}")
    _check_thresholds(thresholds)
    chosen = [name for name in names if name in measures]
    return chosen, {name: float(thresholds.get(name, MEASURES[name].threshold)) for name in chosen}


def _check_thresholds(thresholds: Mapping[str, float]) -> None:
    for name, value in thresholds.items():
        if name not in MEASURES:
            raise ValueError(f"thresholds must be of {', '.join(MEASURES)}, got {name!r}")
        low, high = MEASURES[name].allowed
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not (number and low < value <= high):
            allowed = f"a number of more than {low:g}" + (f" and at most {high:g}" if math.isfinite(high) else "")
            raise ValueError(f"thresholds.{name} must be {allowed}, got {value!r}")
