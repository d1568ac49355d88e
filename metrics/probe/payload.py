"""Representations of the probe on their way from the clients to the server, and those of the global models there."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from fedlayers.core.layers import Layer
from fedlayers.core.records import Row, missing
from metrics.base import ClientView, ServerView, at
from metrics.compare.products.compact import compact
from metrics.probe.activations import probe_activations

_OTHER_BYTES = 2**16


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


def packed(values: Mapping[str, Tensor], view: ClientView) -> dict[str, np.ndarray]:
    """Return the payload of layers' representations, and under ``examples`` the number of probe examples."""
    count = 0 if view.probe is None else len(view.probe)
    arrays = {f"layer/{name}": tensor.numpy() for name, tensor in values.items()}
    return {"examples": np.array([count]), **arrays}


def unpacked(payload: Mapping[str, np.ndarray], layers: Sequence[Layer]) -> dict[str, Tensor]:
    """Return layer name -> what :func:`packed` was given, in the order of the layers."""
    arrays = {layer.name: payload.get(f"layer/{layer.name}") for layer in layers}
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items() if array is not None}


def examples_in(payloads: Mapping[int, Mapping[str, np.ndarray]]) -> int:
    """Return the number of probe examples that the clients' payloads tell of; there must be one.

    Examples:
        >>> import numpy as np
        >>> examples_in({0: {"examples": np.array([1000])}})
        1000
    """
    return int(next(iter(payloads.values()))["examples"][0])


def global_outputs(view: ServerView, name: str, positions: str) -> dict[str, Tensor]:
    """Return :func:`compact_outputs` of one of the view's global models, computed once for all metrics."""
    key = ("global outputs", name, positions)
    if key not in view.cache:
        view.cache[key] = compact_outputs(view.global_views[name](), positions)
    found: dict[str, Tensor] = view.cache[key]
    return found
