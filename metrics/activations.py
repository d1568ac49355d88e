"""What each layer of a model puts out on the probe: the representations that similarity and geometry are made of."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from fedlayers.layers import ROOT, Layer
from metrics.base import ClientView

POSITIONS = ("pooled", "flattened", "samples")
_RECORDS_A_UNIT = 4
_CHANNELS_FIRST = (_ConvNd, _NormBase, nn.GroupNorm)


@dataclass(frozen=True)
class Activations:
    """The outputs of a model's layers on the same records.

    Attributes:
        outputs: layer name -> float32, shape (n, units), or (n, positions, units) if positions are samples.
        reasons: layer name -> why there is no output.
    """

    outputs: dict[str, Tensor]
    reasons: dict[str, str]


def check_positions(positions: str) -> str:
    """Return ``positions`` if it says what becomes of several positions in one output.

    Raises:
        ValueError: it is none of ``pooled``, ``flattened`` and ``samples``.
    """
    if positions not in POSITIONS:
        raise ValueError(f"positions must be one of {', '.join(POSITIONS)}, got {positions!r}")
    return positions


def probe_activations(view: ClientView, positions: str) -> Activations:
    """Return the outputs of a view's layers on the probe, computed once per view.

    Args:
        view: one model; its ``probe`` must be there.
        positions: see :func:`layer_outputs`.

    Raises:
        ValueError: the view has no probe.
    """
    if view.probe is None:
        raise ValueError("there is no probe to measure representations on")
    key = ("activations", positions)
    if key not in view.cache:
        orders = torch.split(torch.arange(len(view.probe)), view.batch_size)
        batches = (view.probe.batch(order)[0].to(view.device) for order in orders)
        view.cache[key] = layer_outputs(view.module, view.layers, batches, positions)
    found: Activations = view.cache[key]
    return found


def probe_remark(view: ClientView, positions: str) -> list[str]:
    """Return a sentence if the probe has fewer than four records a unit of the widest layer, else nothing.

    With fewer, chance alone makes independent representations look alike to every measure but debiased CKA.
    """
    if view.probe is None:
        return []
    two = view.probe.batch(torch.arange(2))[0].to(view.device)
    outputs = layer_outputs(view.module, view.layers, [two], positions).outputs
    widths = {name: output.shape[-1] for name, output in outputs.items()}
    widest = max(widths, key=lambda name: widths[name], default=None)
    if widest is None or len(view.probe) >= _RECORDS_A_UNIT * widths[widest]:
        return []
    return [
        f"the probe has {len(view.probe)} records, and layer {widest} {widths[widest]} units ({positions}): below "
        f"{_RECORDS_A_UNIT} records a unit, chance alone looks like agreement; compare values with their "
        f"chance level, use debiased CKA, or raise probe.size to {_RECORDS_A_UNIT * widths[widest]}"
    ]


def layer_outputs(module: nn.Module, layers: Sequence[Layer], batches: Iterable[Tensor], positions: str) -> Activations:
    """Return what every layer's own module puts out, before any activation function that follows it.

    An output with several positions (pixels of a convolution, steps of a sequence) becomes one row a record:

    - ``pooled``: the mean over positions, shape (n, units);
    - ``flattened``: all positions side by side, shape (n, positions · units);
    - ``samples``: positions are kept apart as further samples, shape (n, positions, units).

    Args:
        module: the model, in eval mode.
        layers: its layers.
        batches: features, each of shape (b, *shape), on the model's device.
        positions: see above. Values of different choices are not comparable.

    Returns:
        Outputs on the CPU. A layer that runs not once a batch, or whose output is not one tensor with a row a record,
        or is not finite, is among the reasons.
    """
    parts: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    reasons: dict[str, str] = {}
    for features in batches:
        with _listening(module, layers, positions) as seen, torch.no_grad():
            module(features)
        for name, outputs in seen.items():
            reason = _problem(outputs, len(features))
            if reason:
                reasons.setdefault(name, reason)
            else:
                parts[name].append(outputs[0])
    joined = {name: torch.cat(tensors) for name, tensors in parts.items() if tensors and name not in reasons}
    reasons |= {name: "its output is not finite" for name, output in joined.items() if not output.isfinite().all()}
    return Activations({name: output for name, output in joined.items() if name not in reasons}, reasons)


@contextmanager
def _listening(module: nn.Module, layers: Sequence[Layer], positions: str) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what every layer puts out while a block runs the model; the hooks are gone afterwards."""
    seen: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    own = {layer.name: module if layer.name == ROOT else module.get_submodule(layer.name) for layer in layers}
    handles = [own[name].register_forward_hook(_hook(outputs, positions)) for name, outputs in seen.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _hook(outputs: list[Tensor], positions: str) -> Callable[[nn.Module, Any, Any], None]:
    def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
        # A module that returns several things (attention) means the first.
        tensor = output[0] if isinstance(output, tuple) and output else output
        usable = isinstance(tensor, Tensor) and tensor.ndim >= 2
        # At once and as a copy: an activation function that works in place comes next.
        outputs.append(_shaped(tensor, isinstance(module, _CHANNELS_FIRST), positions) if usable else torch.empty(0))

    return hook


def _problem(outputs: list[Tensor], records: int) -> str | None:
    """Return why one batch's output of a layer cannot be used, None if it can."""
    if len(outputs) != 1:
        return f"it runs {len(outputs)} times a forward pass, once is needed"
    return None if len(outputs[0]) == records else "its output is not one tensor with a row a record"


def _shaped(tensor: Tensor, channels_first: bool, positions: str) -> Tensor:
    """Return a copy of an output on the CPU, one row a record."""
    if tensor.ndim == 2:
        rows = tensor.unsqueeze(1) if positions == "samples" else tensor
    else:
        spread = tensor.flatten(2).transpose(1, 2) if channels_first else tensor.flatten(1, -2)
        rows = spread.mean(1) if positions == "pooled" else spread
        rows = spread.flatten(1) if positions == "flattened" else rows
    return rows.to("cpu", torch.float32, copy=True)
