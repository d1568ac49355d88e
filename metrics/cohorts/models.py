"""Models of several clients as one: their weights and buffers stacked along a leading axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.modules.conv import _ConvNd

from fedlayers.core.cohorts.stacked import equal_but_rounding, stacked_outputs
from fedlayers.core.forward_order import left_alone
from fedlayers.objectives.objective import Objective
from metrics.views import ClientView

T = TypeVar("T")

# Module -> whether several of its kind can be stacked: a worker asks about its own ones round after round.
_known: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Models:
    """K models of one structure.

    Attributes:
        module: their structure, in evaluation mode.
        parameters: name -> the weights of all, shape (K, …).
        buffers: likewise.
        objectives: what each client minimises.
    """

    module: nn.Module
    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    objectives: Sequence[Objective]

    @classmethod
    def of(cls, views: Sequence[ClientView]) -> "Models":
        """Return the models of some views, whose structure is one."""
        modules = [view.module for view in views]
        parameters = _stacked([dict(module.named_parameters()) for module in modules])
        buffers = _stacked([dict(module.named_buffers()) for module in modules])
        return cls(modules[0], parameters, buffers, [view.objective for view in views])

    def first(self, count: int) -> "Models":
        """Return the first of them."""
        parameters, buffers = (
            {name: tensor[:count] for name, tensor in tensors.items()} for tensors in (self.parameters, self.buffers)
        )
        return Models(self.module, parameters, buffers, self.objectives[:count])

    def outputs(self, features: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the outputs (K, n, C) for features (K, n, *shape).

        Args:
            features: see above.
            parameters: what takes the place of the weights.
        """
        return stacked_outputs(self.module, parameters or self.parameters, self.buffers, features)

    def each(self, work: Callable[..., T], *arguments: object, given: Mapping[str, Tensor] | None = None) -> T:
        """Return what a block of code returns that runs on each model, as if it were alone, tensors stacked.

        Args:
            work: a function of ``arguments``, run while the module computes with one model's tensors. It returns a
                tensor, or tuples, lists and mappings of tensors.
            arguments: tensors (K, …), or mappings of them.
            given: what takes the place of the weights.
        """

        def run(own: Mapping[str, Tensor], kept: Mapping[str, Tensor], *parts: object) -> T:
            tensors = {f"module.{name}": tensor for name, tensor in {**own, **kept}.items()}
            found: T = functional_call(_Body(self.module), tensors, (work, *parts))
            return found

        found: T = vmap(run, randomness="error")(dict(given or self.parameters), dict(self.buffers), *arguments)
        return found

    def losses(self, outputs: Tensor, labels: Tensor, counts: Sequence[int]) -> Tensor:
        """Return the loss of each example, shape (K, n), 0 for those that only fill up.

        Args:
            outputs: shape (K, n, C).
            labels: shape (K, n), or (K, n, C) of label sets.
            counts: how many of the n examples are each client's own, the first ones.
        """
        first, longest = self.objectives[0], labels.shape[1]
        # Of one's own it may see more of a client's examples than one, or give NaN: it is asked for each client.
        if first.is_safe and all(objective is first for objective in self.objectives):
            found = first(outputs.flatten(0, 1), labels.flatten(0, 1)).view(labels.shape[:2])
            return found if min(counts) == longest else found.where(_own(counts, labels), 0)
        parts = zip(self.objectives, outputs.unbind(0), labels.unbind(0), counts, strict=True)
        return torch.stack(
            [
                F.pad(objective(own[:count], known[:count]), (0, longest - count))
                for objective, own, known, count in parts
            ]
        )


class _Body(nn.Module):
    """A module whose forward pass is any block of code that uses the module inside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, work: Callable[..., T], *parts: object) -> T:
        return work(*parts)


def structure(view: ClientView) -> object:
    """Return what the models of views have in common that can be stacked: equal for those and for no others."""
    tensors = [*view.module.named_parameters(), *view.module.named_buffers()]
    return type(view.module), tuple((name, tensor.shape, tensor.dtype, tensor.device) for name, tensor in tensors)


def can_be_stacked(view: ClientView) -> bool:
    """Say whether a view's model computes the same where it is stacked with others of its structure, in any company.

    It cannot if it mixes examples, draws random numbers, looks at numbers, or has layers that ``torch.func.vmap``
    refuses: outputs of two models as one are compared with those of each by itself, on two examples.
    """
    if view.module not in _known:
        _known[view.module] = _computes_the_same(view)
    return _known[view.module]


def passes_pay(view: ClientView) -> bool:
    """Say whether forward passes of stacked models are faster than one after the other.

    Stacked convolutions are grouped ones, for which a CPU takes twice as long.
    """
    return view.device.type != "cpu" or not any(isinstance(part, _ConvNd) for part in view.module.modules())


def _computes_the_same(view: ClientView) -> bool:
    examples = next(iter(view.data.values()), view.probe)
    if examples is None or not len(examples):
        return False
    features = examples.batch(torch.arange(2) % len(examples))[0].to(view.device)
    module = view.module
    own, buffers = (dict(named) for named in (module.named_parameters(), module.named_buffers()))
    # Two models that differ: a part that mixes them, or reads the module's own tensors, is seen.
    models = [{name: tensor.detach() * factor for name, tensor in own.items()} for factor in (1.0, 0.5)]
    try:
        with left_alone(module), torch.no_grad():
            alone = torch.stack([functional_call(module, {**one, **buffers}, (features,)) for one in models])
            filled = functional_call(module, {**models[0], **buffers}, (torch.cat([features, features[:1]]),))
            kept = {name: torch.stack([tensor, tensor]) for name, tensor in buffers.items()}
            found = stacked_outputs(module, _stacked(models), kept, torch.stack([features, features]))
    except Exception:
        return False
    return equal_but_rounding(found, alone) and equal_but_rounding(filled[:2], alone[0])


def _stacked(tensors: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([own[name].detach() for own in tensors]) for name in tensors[0]}


def _own(counts: Sequence[int], labels: Tensor) -> Tensor:
    """Say which of the labels (K, n) are a client's own."""
    return (torch.arange(labels.shape[1]) < torch.tensor(counts).unsqueeze(1)).to(labels.device)
