"""Representations of the probe on their way from the clients to the server, and those of the global models there."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.records import Row, missing
from fedlayers.core.seeding import GlobalGenerators
from metrics.base import ClientView, ServerView, at
from metrics.compare.products.compact import compact
from metrics.probe.activations import probe_activations

_OTHER_BYTES = 2**16
# Of a model that the server measured so much is remembered for the next round at most.
_REMEMBERED_BYTES = 2**26
# What is sent in place of a layer's output, and why.
_TOO_LARGE, _NOT_FINITE = torch.zeros(0), torch.full((1,), torch.nan)
_TOO_LARGE_REASON = "needs whole activations, too large to send; lower probe.size or raise metrics.payload_mb"
_NOT_FINITE_REASON = "its output is not finite"
_NOTHING_REASON = "there is no output of it on the probe"


def compact_outputs(view: ClientView, positions: str) -> dict[str, Tensor]:
    """Return every layer's output on the probe, centred, with at most as many units as examples; once a view.

    Args:
        view: one model; its ``probe`` must be there.
        positions: see :func:`metrics.probe.activations.layer_outputs`.

    Returns:
        Layer name -> float32, see :func:`metrics.compare.products.compact.compact`; without the layers that have no
        output.

    Raises:
        ValueError: the view has no probe.
    """
    outputs, key = probe_activations(view, positions).outputs, ("compact", positions)
    if key not in view.cache:
        view.cache[key] = {name: compact(output) for name, output in outputs.items()}
    found: dict[str, Tensor] = view.cache[key]
    return found


def without_output(view: ClientView, positions: str, metrics: Iterable[str]) -> list[Row]:
    """Return a missing value of every metric for every layer that has no output on the probe, with the reason."""
    reasons = probe_activations(view, positions).reasons
    layers = [layer for layer in view.layers if layer.name in reasons]
    names = list(metrics)
    return [missing(name, reasons[layer.name], scope="probe", **at(layer)) for layer in layers for name in names]


def too_large(values: Mapping[str, Tensor], limit_bytes: int) -> set[str]:
    """Return the largest of some representations, as many as have to stay behind for the others to fit.

    Args:
        values: layer name -> float32.
        limit_bytes: the most that a payload may have.

    Examples:
        >>> import torch
        >>> too_large({"conv1": torch.ones(1000, 10), "fc1": torch.ones(10, 10)}, limit_bytes=100_000)
        {'conv1'}
    """
    sizes = {name: 4 * tensor.numel() for name, tensor in values.items()}
    total, fits = _OTHER_BYTES, set()
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        total += sizes[name]
        if total > limit_bytes:
            break
        fits.add(name)
    return set(sizes) - fits


def shared_outputs(view: ClientView, positions: str) -> dict[str, dict[str, np.ndarray]]:
    """Return every layer's output on the probe, whole, as what metrics share: :attr:`Measurement.shared`.

    Of layers that the payload limit leaves no room for, and of those whose output is not finite, a mark travels.

    Args:
        view: one model of a client.
        positions: see :func:`metrics.probe.activations.layer_outputs`.
    """
    key = ("shared outputs", positions)
    if key not in view.cache:
        outputs = compact_outputs(view, positions)
        large = too_large(outputs, view.payload_limit_bytes)
        sent = {name: _TOO_LARGE if name in large else output for name, output in outputs.items()}
        # A layer that never has an output is left out by all clients alike; a diverged one must not be.
        reasons = probe_activations(view, positions).reasons
        sent |= {name: _NOT_FINITE for name, reason in reasons.items() if reason == _NOT_FINITE_REASON}
        view.cache[key] = packed(sent, 0 if view.probe is None else len(view.probe))
    return {_shared_name(positions): view.cache[key]}


def sent_outputs(view: ServerView, positions: str) -> dict[int, dict[str, Tensor]]:
    """Return client -> layer -> what came of :func:`shared_outputs`, as tensors once for all metrics.

    :func:`why_absent` says what is no output.
    """
    key = ("sent outputs", positions)
    if key not in view.cache:
        sent = view.shared.get(_shared_name(positions), {})
        view.cache[key] = {client: unpacked(sent[client], view.layers) for client in sorted(sent)}
    found: dict[int, dict[str, Tensor]] = view.cache[key]
    return found


def why_absent(output: Tensor | None) -> str | None:
    """Return why a layer has no output in :func:`sent_outputs`, None if it has one.

    >>> why_absent(torch.ones(10, 4)), why_absent(None)
    (None, 'there is no output of it on the probe')
    """
    if output is None:
        return _NOTHING_REASON
    if output.ndim > 1:
        return None
    return _NOT_FINITE_REASON if len(output) else _TOO_LARGE_REASON


def _shared_name(positions: str) -> str:
    return f"representations {positions}"


def packed(values: Mapping[str, Tensor], examples: int) -> dict[str, np.ndarray]:
    """Return the payload of layers' representations, and under ``examples`` the number of probe examples.

    >>> sorted(packed({"fc1": torch.ones(10, 4)}, examples=10))
    ['examples', 'layer/fc1']
    """
    return {"examples": np.array([examples])} | {f"layer/{name}": tensor.numpy() for name, tensor in values.items()}


def unpacked(payload: Mapping[str, np.ndarray], layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Return layer name -> what :func:`packed` was given, in the order of the layers."""
    arrays = {layer.name: payload.get(f"layer/{layer.name}") for layer in layers}
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items() if array is not None}


def examples_behind(view: ServerView, positions: str) -> int:
    """Return the number of probe examples behind what clients sent, shared or of this metric; something must be there.

    Args:
        view: its payloads are those of this metric.
        positions: the same as the clients'.
    """
    payloads = view.shared.get(_shared_name(positions)) or view.payloads
    return int(next(iter(payloads.values()))["examples"][0])


def global_outputs(view: ServerView, name: str, positions: str) -> dict[str, Tensor]:
    """Return :func:`compact_outputs` of one of the view's global models, computed once for all metrics.

    What a round made is what the next one sends: it is measured once, and remembered as long as it is the last model
    that was measured.
    """
    key = ("global outputs", name, positions)
    if key not in view.cache:
        own, last = view.global_views[name](), ("global outputs", positions)
        digest = _digest({**own.parameters, **own.buffers})
        before, found = view.remembered.get(last, (b"", {}))
        if digest != before:
            generators = GlobalGenerators.now()
            found = compact_outputs(own, positions)
            small = sum(tensor.nbytes for tensor in found.values()) <= _REMEMBERED_BYTES
            # A model that draws at random puts out something else each time, also where a run goes on.
            view.remembered[last] = (digest, found) if small and generators.are_as_before() else (b"", {})
        view.cache[key] = found
    outputs: dict[str, Tensor] = view.cache[key]
    return outputs


def _digest(tensors: Mapping[str, Tensor]) -> bytes:
    """Return what tells apart models that differ in a bit."""
    found = hashlib.blake2b(digest_size=32)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.digest()
