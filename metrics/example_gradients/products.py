"""Products of the gradients of single examples with a direction, from the gradients or from what passed a layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedlayers.core.layers import ROOT
from metrics.example_gradients.taps import Tap, held_bytes

# Of one layer: attribute name -> the gradients of some examples, shape (m, …), one part of the examples after another.
Examples = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class HeldBatch:
    """What is needed of a batch for products with its gradients: of a layer these themselves, or what passed it."""

    examples: Mapping[str, Examples]
    taps: Mapping[str, Tap]

    @property
    def size_bytes(self) -> int:
        """What it keeps in memory."""
        return sum(map(_bytes, self.examples.values())) + held_bytes(self.taps)


def held_batch(examples: Mapping[str, Examples], taps: Mapping[str, Tap], room: int) -> HeldBatch | None:
    """Return what is kept of a batch in so many bytes; None if they do not suffice.

    Gradients that are there save most; larger ones than what passed their layer give way to that where room is scarce.
    """
    small = {name: parts for name, parts in examples.items() if _bytes(parts) <= held_bytes({name: taps[name]})}
    for chosen in (examples, small):
        held = HeldBatch(chosen, {name: tap for name, tap in taps.items() if name not in chosen})
        if held.size_bytes <= room:
            return held
    return None


def _bytes(parts: Examples) -> int:
    return sum(tensor.nbytes for part in parts for tensor in part.values())


def passed(tap: Tap) -> tuple[Tensor, Tensor]:
    """Return a layer's input and the gradient at its output, zero if none arrived."""
    assert tap.inputs is not None
    return tap.inputs, tap.inputs.new_zeros(tap.output_shape) if tap.gradient is None else tap.gradient


def along_taps(
    modules: Mapping[str, nn.Module], taps: Mapping[str, Tap], directions: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return ⟨g_i, v⟩ of layers with a formula: they are linear in their parameters, so v is put in their place."""
    found = {}
    for name, tap in taps.items():
        (inputs, gradient), module = passed(tap), modules[name]
        own = {
            attribute: directions[full_name(name, attribute)] for attribute, _ in module.named_parameters(recurse=False)
        }
        with torch.no_grad():
            moved: Tensor = functional_call(module, own, (inputs,))
        found[name] = along(moved, gradient)
    return found


def along_examples(examples: Mapping[str, Examples], directions: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ⟨g_i, v⟩ of layers of which the g_i are there."""
    return {
        name: torch.cat(
            [
                torch.stack([along(tensor, directions[full_name(name, own)]) for own, tensor in part.items()]).sum(0)
                for part in parts
            ]
        )
        for name, parts in examples.items()
    }


def along(moved: Tensor, gradient: Tensor) -> Tensor:
    """Return ⟨g_i, v⟩ of each example.

    Args:
        moved: what a layer puts out for its inputs with v in the place of its parameters, shape (n, …).
        gradient: the gradients at its output, likewise.

    Examples:
        >>> along(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]])).tolist()
        [11.0]
    """
    return (moved * gradient).flatten(1).sum(1, dtype=torch.float64)


def full_name(layer: str, attribute: str) -> str:
    """Return the name in the model of a layer's parameter."""
    return attribute if layer == ROOT else f"{layer}.{attribute}"
