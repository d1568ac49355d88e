"""Exact squared norms of per-example gradients, per layer, for little more than one backward pass."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedlayers.core.layers import ROOT, Layer
from fedlayers.core.seeding import GlobalGenerators
from fedlayers.objectives.cross_entropy import CROSS_ENTROPY
from metrics.example_gradients.autograd_sums import differentiated, leaves_of, sums_by_autograd
from metrics.example_gradients.independence import check_independent
from metrics.example_gradients.layer_gradients import FORMULAS
from metrics.example_gradients.products import HeldBatch, along_examples, along_taps, full_name, passed
from metrics.example_gradients.recorded_pass import RecordedPass, recorded
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


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found of a model all layers of which have a formula.

    Attributes:
        shapes: layer name -> the shape of its output for one example.
        operations: those of its forward pass.
    """

    shapes: Mapping[str, tuple[int, ...]]
    operations: RecordedPass


class ExamplePass:
    """Computes :class:`ExampleGradients` of one module, batch by batch.

    Linear, convolution and norm layers are read off one forward and one backward pass by the formulas of
    :mod:`metrics.example_gradients.layer_gradients`; autograd is never asked for the gradient of a weight. What has no
    formula, is called more than once or not as a module, shares parameters, or is not batched along the first axis goes
    through :func:`metrics.example_gradients.replayed_gradients.replayed_gradients`. A rehearsal on three examples finds
    those layers: it compares every sum with what autograd gives. Where all layers have a formula and every parameter is
    used once, weights cannot change that: models whose passes consist of the same operations need no other rehearsal.

    Args:
        module: in evaluation mode; examples must not influence each other.
        layers: the layers to measure.
        features: some examples, shape (n, *shape), n ≥ 1, for the rehearsal.
        labels: their labels, shape (n,).
        loss: an objective, or (outputs, labels) -> one loss an example, shape (n,).
        known: rehearsals of a module of the same class with other weights, to be used where they hold, and added to.

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
        known: MutableMapping[object, Rehearsal] | None = None,
    ) -> None:
        check_independent(module, features)
        self.module, self.layers, self.loss = module, layers, loss
        # Layer name -> the shape of its output for one example.
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._direct = _candidates(module, layers)
        two, three = (torch.arange(size, device=features.device) % len(features) for size in (2, 3))
        self._first = features[two], features[three], labels[three]
        self._known = {} if known is None else known
        # By which the rehearsal of another model is this one's, too; none if it is not to be told by another's.
        self._told = self._known.get(self._key)
        if self._told is None:
            self._rehearse()
        else:
            self.shapes = dict(self._told.shapes)

    @property
    def replayed(self) -> tuple[Layer, ...]:
        """The layers without a formula, which cost several times more than the others."""
        return tuple(layer for layer in self.layers if layer.name not in self._direct)

    def sums(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return Σ_i g_i of a batch by parameter name, as autograd gives it, for the price of a backward pass."""
        names = [name for layer in self.layers for name in layer.names]
        return sums_by_autograd(self.module, names, self.loss, features, labels)

    def observe(self, features: Tensor, labels: Tensor) -> dict[str, Tap]:
        """Run one forward and one backward pass and return what passed each layer with a formula.

        Args:
            features: shape (n, *shape), n ≥ 1.
            labels: shape (n,).

        Raises:
            ValueError: if the model uses a layer more often than for the examples of the rehearsal.
        """
        taps = self._observe(features, labels)
        if taps is None:
            # This model's pass is another than that of the model that was rehearsed: it needs a rehearsal of its own.
            self._told, self._direct = None, _candidates(self.module, self.layers)
            self._rehearse()
            taps = self._observe(features, labels)
            assert taps is not None
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

    def _observe(self, features: Tensor, labels: Tensor) -> dict[str, Tap] | None:
        """Return what passed each layer; None where the operations are other than they were told to be."""
        anchor = torch.zeros((), device=features.device, requires_grad=True)
        leaves = {} if self._told is None else self._own_leaves()
        with torch.enable_grad(), tapped(self._direct, anchor) as taps:
            total = self.loss(functional_call(self.module, leaves, (features,)), labels).sum()
            if self._told is not None and recorded(total, leaves) != self._told.operations:
                return None
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

    @property
    def _key(self) -> object:
        """What a rehearsal of another module of the same class depends on, beside the operations."""
        features = self._first[0]
        parameters = [(name, p.shape, p.dtype) for name, p in self.module.named_parameters(remove_duplicate=False)]
        kinds = [(name, type(part)) for name, part in self.module.named_modules()]
        placed = features.shape[1:], features.dtype, features.device.type
        return placed, tuple(parameters), tuple(kinds), tuple(self._direct), tuple(layer.name for layer in self.layers)

    def _own_leaves(self) -> dict[str, Tensor]:
        """Return the parameters of layers with a formula, to be differentiated by."""
        own = [name for layer in self.layers if layer.name in self._direct for name in layer.names]
        return leaves_of(self.module, own)

    def _rehearse(self) -> None:
        """Keep the formulas that hold, and tell others if they all do, whatever the weights."""
        (two, three, labels), generators = self._first, GlobalGenerators.now()
        self._look(two)
        operations = self._compare(three, labels)
        # A model that draws at random must give the same whoever was rehearsed before.
        if operations is not None and not self.replayed and generators.are_as_before():
            self._known[self._key] = Rehearsal(dict(self.shapes), operations)

    def _look(self, features: Tensor) -> None:
        """Keep the formulas of layers that hold as many examples as there are; with three no other axis would, too."""
        with torch.no_grad(), tapped(self._direct, torch.zeros((), device=features.device)) as taps:
            self.module(features)
        self._direct = {name: part for name, part in self._direct.items() if taps[name].is_batched(len(features))}
        self.shapes = {name: tap.output_shape[1:] for name, tap in taps.items()}

    def _compare(self, features: Tensor, labels: Tensor) -> RecordedPass | None:
        """Keep the formulas of those layers for which they give what autograd gives, in the same pass.

        Returns:
            The operations of the pass, if every layer had gradients to compare and uses each of its parameters once.
        """
        anchor = torch.zeros((), device=features.device, requires_grad=True)
        leaves = self._own_leaves()
        with torch.enable_grad(), tapped(self._direct, anchor) as taps:
            total = self.loss(functional_call(self.module, leaves, (features,)), labels).sum()
            operations = recorded(total, leaves)
            usable = {name: tap for name, tap in taps.items() if tap.is_batched(len(features))}
            names = [name for layer in self.layers if layer.name in usable for name in layer.names]
            expected = differentiated(total, {name: leaves[name] for name in names}, [anchor])
        found, kept, compared = self._reduced(usable), {}, True
        for layer in self.layers:
            if layer.name in usable:
                error = sum(float((found.sums[name] - expected[name]).square().sum()) for name in layer.names)
                size = float(found.squares[layer.name].sum())
                if not error > _TOLERANCE**2 * size:  # NaN: nothing to compare
                    kept[layer.name] = self._direct[layer.name]
                compared &= 0 < size < math.inf and error < math.inf
                compared &= all(operations.uses.get(name) == 1 for name in layer.names)
        self._direct = kept
        return operations if compared else None


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
