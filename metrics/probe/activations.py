"""What each layer of a model puts out on the probe: the representations that similarity and geometry are made of."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from fedlayers.core.kinds.tokens import mask_of, masked_mean
from fedlayers.core.layers import Layer, as_written
from metrics.base import ClientView, ExampleSet
from metrics.cohorts.jobs import MeasuringJob, done
from metrics.cohorts.models import Models, passes_pay
from metrics.compare.base import Comparison
from metrics.probe.example_axes import KnownAxes, example_axes
from metrics.probe.listening import listening, without_own_output
from metrics.probe.positions import WITH_PADDING, counts_padding

_EXAMPLES_A_UNIT = 4
_CHANNELS_FIRST = (_ConvNd, _NormBase, nn.GroupNorm)


@dataclass(frozen=True)
class Activations:
    """The outputs of a model's layers on the same examples.

    Attributes:
        outputs: layer name -> float32, shape (n, units), or (n, positions, units) if positions are samples.
        reasons: layer name -> why there is no output.
    """

    outputs: dict[str, Tensor]
    reasons: dict[str, str]


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
        view.cache[key] = done(_Activating(view, view.probe, positions))
    found: Activations = view.cache[key]
    return found


class _Activating(MeasuringJob[Activations]):
    """The outputs of a client's layers on the probe."""

    def __init__(self, view: ClientView, probe: ExampleSet, positions: str) -> None:
        super().__init__(view, len(probe))
        self.probe, self.positions = probe, positions

    @property
    def kind(self) -> object:
        return self.positions, [layer.name for layer in self.view.layers], id(self.probe), self.view.batch_size

    @property
    def pays(self) -> bool:
        return passes_pay(self.view)

    def alone(self) -> Activations:
        known = self.view.module_cache.setdefault("example axes", {})
        return layer_outputs(self.view.module, self.view.layers, self._batches(), self.positions, known)

    @classmethod
    def together(cls, jobs: Sequence[Self]) -> Sequence[Activations]:
        first, models = jobs[0], Models.of([job.view for job in jobs])
        known = first.view.module_cache.setdefault("example axes", {})
        return stacked_layer_outputs(models, first.view.layers, first._batches(), first.positions, known)

    def _batches(self) -> Iterator[Tensor]:
        orders = torch.split(torch.arange(len(self.probe)), self.view.batch_size)
        return (self.probe.batch(order)[0].to(self.view.device) for order in orders)


def probe_remark(view: ClientView, positions: str, comparisons: Mapping[str, Comparison]) -> list[str]:
    """Return what has to be said if the probe is small for the widest layer, else nothing.

    With fewer than four examples a unit, chance alone makes independent representations look alike to every measure but
    debiased CKA; and measures may want more for a bias below their standard error.

    Args:
        view: one model, with or without a probe.
        positions: see :func:`layer_outputs`.
        comparisons: name -> measure.
    """
    if view.probe is None:
        return []
    two = view.probe.batch(torch.arange(2))[0].to(view.device)
    outputs = layer_outputs(view.module, view.layers, [two], positions).outputs
    widths = {name: output.shape[-1] for name, output in outputs.items()}
    widest = max(widths, key=lambda name: widths[name], default=None)
    if widest is None:
        return []
    examples, units, remarks = len(view.probe), widths[widest], []
    has = f"the probe has {examples} examples, and layer {widest} {units} units ({positions})"
    if examples < _EXAMPLES_A_UNIT * units:
        remarks.append(
            f"{has}: below {_EXAMPLES_A_UNIT} examples a unit, chance alone looks like agreement; compare values with "
            f"their chance level, use debiased CKA, or {_more_examples(view, _EXAMPLES_A_UNIT * units)}"
        )
    biased = [name for name, comparison in comparisons.items() if examples < comparison.unbiased_from(units)]
    if biased:
        remarks.append(
            f"{has}: {' and '.join(biased)} show more agreement than without end of examples, by more than stderr, "
            "below about units³ examples; compare values of equally many examples and units only"
        )
    return remarks


def _more_examples(view: ClientView, wanted: int) -> str:
    """Return how the probe can have more examples."""
    if view.probe_limit is None or wanted <= view.probe_limit:
        return f"raise probe.size to {wanted}"
    return (
        f"give it more than the {view.probe_limit} examples that there are: raise split.server_test, or choose another "
        "probe.policy"
    )


def layer_outputs(
    module: nn.Module,
    layers: Sequence[Layer],
    batches: Iterable[Tensor],
    positions: str,
    known: KnownAxes | None = None,
) -> Activations:
    """Return what every layer's own module puts out, before any activation function that follows it.

    An output with several positions (pixels of a convolution, steps of a sequence) becomes one row an example:

    - ``pooled``: the mean over positions, shape (n, units);
    - ``flattened``: all positions side by side, shape (n, positions · units);
    - ``samples``: positions are kept apart as further samples, shape (n, positions, units).

    Of tokens only those count that are no padding: ``pooled`` is their mean (that of all where an output has other
    positions than tokens), and ``flattened`` is 0 there. Each a sample, padding would count as agreement: refused.

    The output of attention's input projections are queries, keys and values side by side, see
    :func:`metrics.probe.listening.listening`. Examples are looked for on every axis but that of the units: a recurrent
    model may have its steps first.

    Args:
        module: the model, in eval mode.
        layers: its layers.
        batches: features, each of shape (b, *shape), on the model's device.
        positions: see above. Values of different choices are not comparable.
        known: what was found out about modules of the same class with other weights, to be used and added to.

    Returns:
        Outputs on the CPU. A layer without an output of its own, that runs not once a batch, or whose output is not
        one tensor with a row an example, or is not finite, is among the reasons.

    Raises:
        ValueError: tokens with padding are to be samples.
    """
    reasons = without_own_output(module, layers)
    names = [layer.name for layer in layers if layer.name not in reasons]
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    axes: dict[str, int] = {}
    for features in batches:
        axes = axes or example_axes(module, names, features, known)
        keep = partial(_rows, axes, positions, mask_of(features))
        with listening(module, names, keep) as seen, torch.no_grad(), as_written(module):
            module(features)
        for name, outputs in seen.items():
            reason = _problem(outputs, len(features))
            if reason:
                reasons.setdefault(name, reason)
            else:
                parts[name].append(outputs[0])
    return _joined({name: torch.cat(tensors) for name, tensors in parts.items() if tensors}, reasons)


def stacked_layer_outputs(
    models: Models,
    layers: Sequence[Layer],
    batches: Iterable[Tensor],
    positions: str,
    known: KnownAxes | None = None,
) -> list[Activations]:
    """Return what :func:`layer_outputs` returns of each of several models, which all see the same features."""
    module = models.module
    reasons = without_own_output(module, layers)
    names = [layer.name for layer in layers if layer.name not in reasons]
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    axes: dict[str, int] = {}

    def heard(features: Tensor) -> dict[str, Tensor]:
        """Return the rows of every layer; of those that have none in a batch, the reason is kept."""
        with listening(module, names, partial(_rows, axes, positions, mask_of(features))) as seen:
            module(features)
        for name, outputs in seen.items():
            reason = _problem(outputs, len(features))
            if reason:
                reasons.setdefault(name, reason)
        return {name: outputs[0] for name, outputs in seen.items() if name not in reasons}

    with torch.no_grad():
        for features in batches:
            axes = axes or example_axes(module, names, features, known)
            for name, rows in models.each(partial(heard, features)).items():
                parts[name].append(rows)
    stacked = {name: torch.cat(tensors, 1) for name, tensors in parts.items() if tensors}
    places = range(len(models.objectives))
    return [_joined({name: rows[place] for name, rows in stacked.items()}, dict(reasons)) for place in places]


def _joined(outputs: Mapping[str, Tensor], reasons: Mapping[str, str]) -> Activations:
    """Return the outputs of layers that have no reason against them; one that is not finite gets one."""
    usable = {name: output for name, output in outputs.items() if name not in reasons}
    odd = {name: "its output is not finite" for name, output in usable.items() if not output.isfinite().all()}
    return Activations({name: output for name, output in usable.items() if name not in odd}, {**reasons, **odd})


def _rows(
    axes: dict[str, int],
    positions: str,
    mask: Tensor | None,
    name: str,
    tensors: Sequence[Tensor],
    module: nn.Module,
) -> Tensor:
    """Return a copy of an output on the CPU, one row an example; nothing if it has none."""
    if not tensors or axes[name] < 0 or any(tensor.ndim <= axes[name] + 1 for tensor in tensors):
        return torch.empty(0)
    channels_first = isinstance(module, _CHANNELS_FIRST)
    moved = [_real(tensor.movedim(axes[name], 0), channels_first) for tensor in tensors]
    rows = [_shaped(tensor, channels_first, positions, mask) for tensor in moved]
    if len({tuple(part.shape[:-1]) for part in rows}) > 1:
        return torch.empty(0)
    return rows[0] if len(rows) == 1 else torch.cat(rows, -1)


def _problem(outputs: list[Tensor], examples: int) -> str | None:
    """Return why one batch's output of a layer cannot be used, None if it can."""
    if not outputs:
        return "its module is never called in a forward pass: its parameters have no output of their own"
    if len(outputs) != 1:
        return f"it runs {len(outputs)} times a forward pass, once is needed"
    return None if len(outputs[0]) == examples else "its output is not one tensor with a row an example"


def _real(tensor: Tensor, channels_first: bool) -> Tensor:
    """Return real and imaginary parts of complex units as units side by side, others as they are."""
    return torch.cat([tensor.real, tensor.imag], 1 if channels_first else -1) if tensor.is_complex() else tensor


def _shaped(tensor: Tensor, channels_first: bool, positions: str, mask: Tensor | None) -> Tensor:
    """Return a copy of an output on the CPU, one row an example."""
    if mask is not None and tensor.ndim == 3 and not channels_first and tensor.shape[1] == mask.shape[1]:
        if positions == "pooled":
            return masked_mean(tensor, mask).to("cpu", torch.float32, copy=True)
        if counts_padding(positions, mask):
            raise ValueError(f"positions must be {WITH_PADDING}, got {positions!r}")
        tensor = tensor.masked_fill(~mask.unsqueeze(-1), 0)
    if tensor.ndim == 2:
        rows = tensor.unsqueeze(1) if positions == "samples" else tensor
    else:
        spread = tensor.flatten(2).transpose(1, 2) if channels_first else tensor.flatten(1, -2)
        rows = spread.mean(1) if positions == "pooled" else spread
        rows = spread.flatten(1) if positions == "flattened" else rows
    return rows.to("cpu", torch.float32, copy=True)
