"""Multilayer perceptrons of one width: each layer answers, by class anchors or a classifier, or the last one alone."""

import math
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn.functional import normalize

from fedlayers.core.anchors import Anchors
from fedlayers.core.checks import check, count
from fedlayers.core.stages import applied
from fedlayers.models.kaiming import kaiming_uniform

_SMALLEST_NORM = 1e-6


class UnitLength(nn.Module):
    """Divides each example by its p-norm, ĥ = h / max(‖h‖_p, 10⁻⁶).

    Args:
        norm: p.
    """

    def __init__(self, norm: int) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, h: Tensor) -> Tensor:
        """Return ĥ, of the shape of h, along its last axis."""
        return normalize(h, p=self.norm, dim=-1, eps=_SMALLEST_NORM)


class ResidualLinear(nn.Linear):
    """W h + b + r(h): r is the identity, or where sizes differ a learned projection ``skip`` without bias.

    Args:
        before: units of h.
        after: units that it gives.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after)
        self.skip = nn.Identity() if before == after else nn.Linear(before, after, bias=False)

    def forward(self, h: Tensor) -> Tensor:
        """Return W h + b + r(h), shape (n, after)."""
        found: Tensor = super().forward(h) + self.skip(h)
        return found


class EvenMLP(nn.Module):
    """Layers h_l = ReLU(W_l ĥ_(l−1) + b_l) of one width, ``fc1`` to ``fcL``; a subclass says what answers.

    Weights are Kaiming-uniform, biases begin at 0.

    Args:
        input_shape: one example's shape, which is flattened.
        width: N, the units of every layer, 1 or more.
        layers: L, 1 or more.
        normalise: p of ĥ = h / ‖h‖_p, 1 or 2; None for ĥ = h.
        residual: whether r(ĥ) is added before the ReLU, see :class:`ResidualLinear`.
        beside: makes what is registered behind each layer, under the name that comes with it.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        width: int,
        layers: int,
        normalise: int | None,
        residual: bool,
        beside: Callable[[int], Mapping[str, nn.Module]],
    ) -> None:
        super().__init__()
        count("model.width", width)
        count("model.layers", layers, most=1000)
        check(normalise in (None, 1, 2), "model.normalise", "1, 2 or null", normalise)
        self.depth = layers
        self.flatten, self.relu = nn.Flatten(), nn.ReLU()
        if normalise is not None:
            self.unit = UnitLength(normalise)
        before = math.prod(input_shape)
        for depth in range(1, layers + 1):
            self.add_module(f"fc{depth}", (ResidualLinear if residual else nn.Linear)(before, width))
            for name, part in beside(depth).items():
                self.add_module(name, part)
            before = width
        kaiming_uniform(self)

    def forward(self, examples: Tensor) -> Tensor:
        """Return logits (n, C) of examples (n, *shape)."""
        parts, last = self.stages_and_head()
        return applied((*(part for own in parts for part in own), *last), examples)

    def stages_and_head(self) -> tuple[list[tuple[nn.Module, ...]], tuple[nn.Module, ...]]:
        """Return the layers, and what answers; see :func:`fedlayers.core.stages.stages`."""
        unit = (self.unit,) if "unit" in self._modules else ()
        stages = [
            (*((self.flatten,) if depth == 1 else ()), *unit, self.get_submodule(f"fc{depth}"), self.relu)
            for depth in range(1, self.depth + 1)
        ]
        return stages, (self.answer(),)

    def answer(self) -> nn.Module:
        """Return what answers, from the last layer."""
        raise NotImplementedError


class DeepMLP(EvenMLP):
    """Layers of one width and a linear classifier behind them, ``fc1`` to ``fcL+1``: the counterpart of a chain.

    Args:
        input_shape: one example's shape.
        num_classes: C.
        width, layers, normalise, residual: see :class:`EvenMLP`.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        width: int = 1024,
        layers: int = 4,
        normalise: int | None = None,
        residual: bool = False,
    ) -> None:
        def beside(depth: int) -> dict[str, nn.Module]:
            return {f"fc{layers + 1}": nn.Linear(width, num_classes)} if depth == layers else {}

        super().__init__(input_shape, width, layers, normalise, residual, beside)

    def answer(self) -> nn.Module:
        """Return the classifier."""
        return self.get_submodule(f"fc{self.depth + 1}")


class ReadOutMLP(EvenMLP):
    """Layers each of which answers, the last one for the network; one layer is a chain without a next one.

    Args:
        input_shape, width, layers, normalise, residual: see :class:`EvenMLP`.
        readout: makes what answers from a layer, logits (n, C) of h (n, N).
        name: of the readouts: ``name1`` to ``nameL``.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        width: int,
        layers: int,
        normalise: int | None,
        residual: bool,
        readout: Callable[[], nn.Module],
        name: str,
    ) -> None:
        super().__init__(input_shape, width, layers, normalise, residual, lambda depth: {f"{name}{depth}": readout()})
        self._name = name

    def readouts(self) -> list[nn.Module]:
        """Return what answers from each layer, see :func:`fedlayers.core.stages.readouts_of`."""
        return [self.get_submodule(f"{self._name}{depth}") for depth in range(1, self.depth + 1)]

    def answer(self) -> nn.Module:
        """Return the last of them."""
        return self.readouts()[-1]


class GreedyMLP(ReadOutMLP):
    """A chain of layers that answer by class anchors: q_l = softmax(G(h_l, ·) / τ), ``anchors1`` to ``anchorsL``.

    Args:
        input_shape: one example's shape.
        num_classes: C.
        width, layers, normalise, residual: see :class:`EvenMLP`.
        similarity: G, ``cosine`` or ``l2``.
        temperature: τ, positive.
        anchors: ``orthonormal``, ``random``, ``learned`` or ``class_means``, see
            :class:`fedlayers.core.anchors.Anchors`.
        anchor_seed: the run's seed, which draws them.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        width: int = 1024,
        layers: int = 4,
        similarity: str = "cosine",
        temperature: float = 0.1,
        anchors: str = "orthonormal",
        normalise: int | None = None,
        residual: bool = False,
        anchor_seed: int = 0,
    ) -> None:
        def readout() -> Anchors:
            return Anchors(num_classes, width, anchors, similarity, temperature, anchor_seed, key="model.")

        super().__init__(input_shape, width, layers, normalise, residual, readout, "anchors")


class MonoForward(ReadOutMLP):
    """A chain of layers with a linear classifier each, ``classifier1`` to ``classifierL``, trained with its layer.

    Args:
        input_shape: one example's shape.
        num_classes: C.
        width, layers, normalise: see :class:`EvenMLP`.

    References:
        Gong et al. 2025, Mono-Forward, arXiv:2501.09238.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        width: int = 1024,
        layers: int = 4,
        normalise: int | None = None,
    ) -> None:
        super().__init__(
            input_shape, width, layers, normalise, False, lambda: nn.Linear(width, num_classes), "classifier"
        )
