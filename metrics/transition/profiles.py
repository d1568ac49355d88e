"""The rises of all clients by measure, from what they sent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.seeding import numpy_generator
from metrics.probe.payload import why_absent
from metrics.transition.evidence.combination import combined_rise
from metrics.transition.evidence.curvature import curvature_rise
from metrics.transition.evidence.gradient_share import gradient_share_rises
from metrics.transition.evidence.sensitivity import sensitivity_rise
from metrics.transition.evidence.similarity import block_similarities, similarity_rise
from metrics.transition.resampling import bootstrap_weights

Payloads = Mapping[int, Mapping[str, np.ndarray]]
_ALONE = "a single client has no other to compare with"
_FEW = "it cannot fill two batches"
# Debiased CKA of fewer examples is noise.
_BLOCK_EXAMPLES = 16


@dataclass(frozen=True)
class Measure:
    """What is allowed as a measure's threshold, an open and a closed end, and what it is unless one is given."""

    threshold: float
    allowed: tuple[float, float]


MEASURES = {
    "sensitivity": Measure(1.15, (1, math.inf)),
    "curvature": Measure(2.0, (1, math.inf)),
    "gradients": Measure(0.5, (0, 1)),
    "similarity": Measure(1.0, (0, 1)),
}
# Those that clients measure batch by batch; the others compare representations of the probe.
BATCHED = ("sensitivity", "curvature", "gradients")


@dataclass
class Profiles:
    """What one measure says.

    Attributes:
        rises: client -> its profile and after it its resamples, shape (R + 1, L).
        units: client -> how many batches or blocks were resampled.
        reasons: client -> why it has no profile.
    """

    rises: dict[int, np.ndarray] = field(default_factory=dict)
    units: dict[int, int] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)


def profiles_of(
    thresholds: Mapping[str, float],
    layers: Sequence[Layer],
    payloads: Payloads,
    outputs: Mapping[int, Mapping[str, Tensor]],
    clients: Sequence[int],
    blocks: int,
    resamples: int,
    seed: int,
) -> dict[str, Profiles]:
    """Return the profiles by measure, and under ``combined`` what most say if there are several.

    Args:
        thresholds: measure -> τ: which measures.
        layers: those between which a transition may lie.
        payloads: client -> what :func:`metrics.transition.measuring.measured_batches_of` gave.
        outputs: client -> layer -> its output on the probe.
        clients: all that replied.
        blocks: of the probe, at most.
        resamples: R.
        seed: of the bootstrap.
    """
    found = {}
    for name, threshold in thresholds.items():
        if name == "similarity":
            found[name] = _by_probe(layers, outputs, clients, blocks, resamples, seed, threshold)
        else:
            found[name] = _by_batches(name, payloads, clients, resamples, seed, threshold)
    if len(found) > 1:
        found["combined"] = _together(found, clients)
    return found


def _by_batches(
    name: str, payloads: Payloads, clients: Sequence[int], resamples: int, seed: int, threshold: float
) -> Profiles:
    found = Profiles(reasons={client: _FEW for client in clients if name not in payloads.get(client, {})})
    known = [client for client in clients if client not in found.reasons]
    if name == "gradients" and len(known) == 1:
        return Profiles(reasons={**found.reasons, known[0]: _ALONE})
    arrays = {client: payloads[client][name] for client in known}
    weights = {
        client: bootstrap_weights(arrays[client].shape[1], resamples, numpy_generator(seed, "batches", client=client))
        for client in known
    }
    if name == "gradients" and known:
        rises = gradient_share_rises(list(arrays.values()), list(weights.values()), threshold)
        found.rises = dict(zip(known, rises, strict=True))
    else:
        rise = sensitivity_rise if name == "sensitivity" else curvature_rise
        found.rises = {client: rise(arrays[client], weights[client], threshold) for client in known}
    found.units = {client: arrays[client].shape[1] for client in known}
    return found


def _by_probe(
    layers: Sequence[Layer],
    outputs: Mapping[int, Mapping[str, Tensor]],
    clients: Sequence[int],
    blocks: int,
    resamples: int,
    seed: int,
    threshold: float,
) -> Profiles:
    absent = {
        client: next((why for layer in layers if (why := why_absent(outputs.get(client, {}).get(layer.name)))), None)
        for client in clients
    }
    found = Profiles(reasons={client: why for client, why in absent.items() if why})
    known = [client for client in clients if client not in found.reasons]
    if len(known) == 1:
        found.reasons[known[0]] = _ALONE
    if len(known) < 2:
        return found
    examples = len(outputs[known[0]][layers[0].name])
    count = min(blocks, examples // _BLOCK_EXAMPLES)
    if count < 2:
        few = f"{examples} probe examples do not fill two blocks of {_BLOCK_EXAMPLES}; raise probe.size"
        return Profiles(reasons=found.reasons | dict.fromkeys(known, few))
    pairs = [block_similarities(_stacked(outputs, known, layer), count) for layer in layers]
    values, chance = (np.stack(parts, 1) for parts in zip(*pairs, strict=True))
    # The same blocks count alike for all clients: they see the same examples.
    weights = bootstrap_weights(count, resamples, numpy_generator(seed, "blocks"))
    for place, client in enumerate(known):
        found.rises[client] = similarity_rise(values[place], chance[place], weights, threshold)
        found.units[client] = count
    return found


def _stacked(outputs: Mapping[int, Mapping[str, Tensor]], clients: Sequence[int], layer: Layer) -> np.ndarray:
    """Return a layer's representations, shape (K, n, units): zeros make up for units that a client has fewer of."""
    found = [outputs[client][layer.name].flatten(1).numpy() for client in clients]
    width = max(own.shape[1] for own in found)
    return np.stack([np.pad(own, ((0, 0), (0, width - own.shape[1]))) for own in found])


def _together(found: Mapping[str, Profiles], clients: Sequence[int]) -> Profiles:
    """Return what most measures say, of clients of which at least one is known."""
    together = Profiles()
    for client in clients:
        known = [own for own in found.values() if client in own.rises]
        if known:
            together.rises[client] = combined_rise([own.rises[client] for own in known])
            together.units[client] = min(own.units[client] for own in known)
        else:
            together.reasons[client] = "; ".join(dict.fromkeys(own.reasons[client] for own in found.values()))
    return together
