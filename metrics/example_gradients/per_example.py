"""Exact squared norms of per-example gradients, per layer, for little more than one backward pass."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from fedlayers.core.layers import ROOT, Layer
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from metrics.example_gradients.layer_gradients import FORMULAS
from metrics.example_gradients.products import HeldBatch, along_examples, along_taps, full_name, passed
from metrics.example_gradients.replayed_gradients import replayed_gradients
from metrics.example_gradients.taps import Tap, tapped

Loss = Callable[[Tensor, Tensor], Tensor]

# Formulas are trusted for a layer if they are this close to autograd (relative to the gradients' size): far above
# rounding, also of the ten-bit products of some GPUs, far below what a layer used twice is off by.
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class ExampleGradients:
    """Gradients g_i of n examples' losses, i = 1 … n, reduced to their sum and their norms.

    Attributes:
        sums: parameter name -> Σ_i g_i, in the parameter's shape.
        squares: layer name -> ‖g_i‖² over all parameters of the layer, shape (n,), float64.
        products: layer name -> ⟨g_i, v⟩ likewise, for the direction v that was asked for; empty if none was.
        examples: layer name -> the g_i themselves, of layers where they are small, see
            :class:`metrics.example_gradients.layer_gradients.LayerGradients`.
    """

    sums: dict[str, Tensor]
    squares: dict[str, Tensor]
    products: dict[str, Tensor]
    examples: dict[str, Sequence[Mapping[str, Tensor]]] = field(default_factory=dict)


class ExamplePass:
    """Computes :class:`ExampleGradients` of one module, batch by batch.

    Linear, convolution and norm layers are read off one forward and one backward pass by the formulas of
    :mod:`metrics.example_gradients.layer_gradients`; autograd is never asked for the gradient of a weight. What has no
    formula, is called more than once or not as a module, shares parameters, or is not batched along the first axis goes
    through :func:`metrics.example_gradients.replayed_gradients.replayed_gradients`. A rehearsal on three examples finds
    those layers: it compares every sum with what autograd gives.

    Args:
        module: in evaluation mode; examples must not influence each other.
        layers: the layers to measure.
        features: some examples, shape (n, *shape), n ≥ 1, for the rehearsal.
        labels: their labels, shape (n,).
        loss: an objective, or (outputs, labels) -> one loss an example, shape (n,).

    Raises:
        ValueError: if the module is in training mode, or examples influence each other.

    Examples:
        >>> from fedlayers.core.layers import layers_of
        >>> network = nn.Sequential(nn.Linear(2, 3)).eval()
        >>> features, labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 2])
        >>> gradients = ExamplePass(network, layers_of(network), features, labels)
        >>> squares = gradients(features, labels).squares["0"]
        >>> squares.shape, bool(squares[0] > squares[1] > 0)
        (torch.Size([2]), True)
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[Layer],
        features: Tensor,
        labels: Tensor,
        *,
        loss: Loss = CROSS_ENTROPY,
    ) -> None:
        _check_independent(module, features)
        self.module, self.layers, self.loss = module, layers, loss
        # Layer name -> the shape of its output for one example.
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._direct = _candidates(module, layers)
        two, three = (torch.arange(size, device=features.device) % len(features) for size in (2, 3))
        self._look(features[two])
        self._rehearse(features[three], labels[three])

    @property
    def replayed(self) -> tuple[Layer, ...]:
        """The layers without a formula, which cost several times more than the others."""
        return tuple(layer for layer in self.layers if layer.name not in self._direct)

    def sums(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return Σ_i g_i of a batch by parameter name, as autograd gives it, for the price of a backward pass."""
        names = [name for layer in self.layers for name in layer.names]
        return _sums_by_autograd(self.module, names, self.loss, features, labels)

    def observe(self, features: Tensor, labels: Tensor) -> dict[str, Tap]:
        """Run one forward and one backward pass and return what passed each layer with a formula.

        Args:
            features: shape (n, *shape), n ≥ 1.
            labels: shape (n,).

        Raises:
            ValueError: if the model uses a layer more often than for the examples of the rehearsal.
        """
        taps = self._observe(features, labels)
        for name, tap in taps.items():
            if tap.calls > 1:
                raise ValueError(f"layer {name} must be used alike in all batches, got one where it is not")
        return taps

    def __call__(
        self,
        features: Tensor,
        labels: Tensor,
        directions: Mapping[str, Tensor] | None = None,
        taps: Mapping[str, Tap] | None = None,
    ) -> ExampleGradients:
        """Return the gradients of a batch.

        Args:
            features: shape (n, *shape), n ≥ 1.
            labels: shape (n,).
            directions: parameter name -> v in its shape, for inner products with every g_i; none if not given.
            taps: what :meth:`observe` returned for this batch; it is observed now if they are not given.
        """
        batched, others = self._parted(features, self.observe(features, labels) if taps is None else taps)
        found = self._reduced(batched)
        products = along_taps(self._direct, batched, directions) if directions else {}
        if others:
            parts = replayed_gradients(self.module, others, features, labels, self.loss, directions or {})
            both = zip((found.sums, found.squares, products), parts, strict=True)
            sums, squares, products = ({**direct, **replayed} for direct, replayed in both)
            return ExampleGradients(sums, squares, products)
        return replace(found, products=products)

    def products(
        self, features: Tensor, labels: Tensor, directions: Mapping[str, Tensor], kept: HeldBatch | None = None
    ) -> dict[str, Tensor]:
        """Return the products of :meth:`__call__` alone, for less where every layer has a formula.

        Args:
            features: shape (n, *shape), n ≥ 1.
            labels: shape (n,).
            directions: parameter name -> v in its shape.
            kept: what was kept of this batch when all of its layers had a formula; it is observed now if not given.
        """
        if kept is not None:
            return along_taps(self._direct, kept.taps, directions) | along_examples(kept.examples, directions)
        batched, others = self._parted(features, self.observe(features, labels))
        found = along_taps(self._direct, batched, directions)
        if others:
            found |= replayed_gradients(self.module, others, features, labels, self.loss, directions)[2]
        return found

    def _parted(self, features: Tensor, taps: Mapping[str, Tap]) -> tuple[dict[str, Tap], list[Layer]]:
        """Return the taps that the formulas fit and the layers that have none in this batch."""
        # A layer that sees some of the examples only (an expert among several) has no formula in this batch.
        batched = {name: tap for name, tap in taps.items() if tap.is_batched(len(features))}
        return batched, [layer for layer in self.layers if layer.name not in batched]

    def _observe(self, features: Tensor, labels: Tensor) -> dict[str, Tap]:
        anchor = torch.zeros((), device=features.device, requires_grad=True)
        with torch.enable_grad(), tapped(self._direct, anchor) as taps:
            total = self.loss(self.module(features), labels).sum()
            if total.requires_grad:
                torch.autograd.grad(total, anchor, allow_unused=True)
        return taps

    def _reduced(self, taps: Mapping[str, Tap]) -> ExampleGradients:
        found = ExampleGradients({}, {}, {})
        for name, tap in taps.items():
            module = self._direct[name]
            part = FORMULAS[type(module)](module, *passed(tap))
            found.squares[name] = part.squares
            found.sums.update({full_name(name, attribute): total for attribute, total in part.sums.items()})
            if part.examples is not None:
                found.examples[name] = part.examples
        return found

    def _look(self, features: Tensor) -> None:
        """Keep the formulas of layers that hold as many examples as there are; with three no other axis would, too."""
        with torch.no_grad(), tapped(self._direct, torch.zeros((), device=features.device)) as taps:
            self.module(features)
        self._direct = {name: part for name, part in self._direct.items() if taps[name].is_batched(len(features))}
        self.shapes = {name: tap.output_shape[1:] for name, tap in taps.items()}

    def _rehearse(self, features: Tensor, labels: Tensor) -> None:
        """Keep the formulas of those layers for which they give what autograd gives, in the same pass."""
        anchor = torch.zeros((), device=features.device, requires_grad=True)
        own = [name for layer in self.layers if layer.name in self._direct for name in layer.names]
        leaves = _leaves(self.module, own)
        with torch.enable_grad(), tapped(self._direct, anchor) as taps:
            total = self.loss(functional_call(self.module, leaves, (features,)), labels).sum()
            usable = {name: tap for name, tap in taps.items() if tap.is_batched(len(features))}
            names = [name for layer in self.layers if layer.name in usable for name in layer.names]
            expected = _differentiated(total, {name: leaves[name] for name in names}, [anchor])
        found, kept = self._reduced(usable), {}
        for layer in self.layers:
            if layer.name in usable:
                error = sum(float((found.sums[name] - expected[name]).square().sum()) for name in layer.names)
                if not error > _TOLERANCE**2 * float(found.squares[layer.name].sum()):  # NaN: nothing to compare
                    kept[layer.name] = self._direct[layer.name]
        self._direct = kept


def _check_independent(module: nn.Module, features: Tensor) -> None:
    if any(part.training for part in module.modules()):
        raise ValueError("module must be in evaluation mode, got training mode; call module.eval()")
    for name, part in module.named_modules():
        if isinstance(part, _BatchNorm) and part.running_mean is None:
            raise ValueError(
                f"module must not mix examples, got batch norm {name!r} without running statistics; "
                "per-example gradients are not defined for it"
            )
    if examples_mix(module, features):
        raise ValueError(
            "examples must not influence each other, got a model that gives other outputs for two examples together "
            "than for each alone; per-example gradients are not defined for it"
        )


def examples_mix(module: nn.Module, features: Tensor) -> bool:
    """Say whether a model's outputs for two examples together are other than for each alone.

    Args:
        module: in evaluation mode. Outputs that are drawn at random cannot tell: False.
        features: shape (n, *shape), n ≥ 1; the first example and one that differs from it are taken.
    """
    different = [features[i : i + 1] for i in range(1, len(features)) if not torch.equal(features[i], features[0])]
    pair = torch.cat([features[:1], different[0] if different else torch.zeros_like(features[:1])])
    with torch.no_grad():
        together, alone = module(pair), torch.cat([module(pair[:1]), module(pair[1:])])
        most = float(together.nan_to_num().abs().max())
        if torch.allclose(together, alone, rtol=0.0, atol=_TOLERANCE * most, equal_nan=True):
            return False
        # Outputs that change by themselves say nothing about the examples.
        return torch.equal(together.nan_to_num(), module(pair).nan_to_num())


def _candidates(module: nn.Module, layers: Sequence[Layer]) -> dict[str, nn.Module]:
    """Return the modules of layers with a formula, which own all of their parameters and share none."""
    uses = Counter(id(tensor) for _, tensor in module.named_parameters(remove_duplicate=False))
    chosen = {}
    for layer in layers:
        part = module.get_submodule("" if layer.name == ROOT else layer.name)
        own = {full_name(layer.name, name): tensor for name, tensor in part.named_parameters(recurse=False)}
        unshared = all(uses[id(tensor)] == 1 for tensor in own.values())
        has_hooks = part._forward_hooks or part._forward_pre_hooks
        if type(part) in FORMULAS and set(own) == set(layer.names) and unshared and not has_hooks:
            chosen[layer.name] = part
    return chosen


def _sums_by_autograd(
    module: nn.Module, names: Sequence[str], loss: Loss, features: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """Return Σ_i g_i of the named parameters as autograd gives it."""
    leaves = _leaves(module, names)
    with torch.enable_grad():
        return (
            _differentiated(loss(functional_call(module, leaves, (features,)), labels).sum(), leaves) if names else {}
        )


def _leaves(module: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the named parameters, each by itself, to be differentiated by."""
    parameters = dict(module.named_parameters())
    return {name: parameters[name].detach().requires_grad_() for name in names}


def _differentiated(total: Tensor, leaves: Mapping[str, Tensor], more: Sequence[Tensor] = ()) -> dict[str, Tensor]:
    """Return the gradients of a total by name; ``more`` is differentiated by besides."""
    if not leaves:
        return {}
    gradients = torch.autograd.grad(total, [*leaves.values(), *more], allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, gradients, strict=False))
