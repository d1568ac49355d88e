"""The stages of a network: consecutive parts, each of which ends where a nonlinearity and what pools it are applied."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor, nn
from torch.nn.modules import activation

from fedlayers.core.errors import UserError, one_line
from fedlayers.core.layers import ROOT, layers_of

# What torch keeps beside its nonlinearities.
_NONLINEARITIES = tuple(
    kind
    for kind in vars(activation).values()
    if isinstance(kind, type) and issubclass(kind, nn.Module) and kind not in (nn.Module, nn.MultiheadAttention)
)
_DECLARED, _READOUTS = "stages_and_head", "readouts"


@dataclass(frozen=True)
class Stage:
    """A part of a network, from one representation h_(l−1) to the next, h_l.

    Attributes:
        name: that of its last layer with weights, as in :class:`fedlayers.core.layers.Layer`.
        modules: what is applied, one after the other.
    """

    name: str
    modules: tuple[nn.Module, ...]

    def __call__(self, before: Tensor) -> Tensor:
        """Return h_l, shape (n, …), of h_(l−1); of the first stage's examples."""
        return applied(self.modules, before)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of its modules, each once."""
        yield from nn.ModuleList(self.modules).parameters()


def stages(module: nn.Module) -> tuple[Stage, ...]:
    """Return the stages of a network, in the order in which a forward pass applies them.

    The parts of ``nn.Sequential`` are divided: a stage ends before the first layer with weights that follows a
    nonlinearity; pooling, dropout and flattening in between belong to it, and so does normalisation before the
    nonlinearity. A part that holds a nonlinearity of its own, such as a residual block, is one stage. What comes after
    the last nonlinearity is :func:`head`. Any other network declares both by a method ``stages_and_head()``, which
    returns a list of stages, each a tuple of modules to apply one after the other, and the head, a tuple of modules,
    or None if it does not answer by what the last stage gives alone:

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc1, self.fc2 = nn.Linear(4, 3), nn.Linear(3, 2)
    ...
    ...     def forward(self, x):
    ...         return self.fc2(self.fc1(x).relu())
    ...
    ...     def stages_and_head(self):
    ...         return [(self.fc1, nn.ReLU())], (self.fc2,)
    >>> [stage.name for stage in stages(Net())]
    ['fc1']

    Raises:
        UserError: it has none, or declares something else than that.
    """
    parts, last = _divided(module)
    names = _layer_names(module)
    found = [Stage(_last_layer(own, names), own) for own in parts]
    everything = [part for own in (*parts, last or (), readouts_of(module) or ()) for part in own]
    held = {id(weight) for part in everything for weight in part.parameters()}
    missing = next((name for name, weight in module.named_parameters() if id(weight) not in held), None)
    if missing is not None:
        raise UserError(
            f"model: {_DECLARED} of {_kind(module)} must give all parts with parameters, got none with {missing!r}; "
            "add the part that holds it"
        )
    return tuple(found)


def head(module: nn.Module) -> tuple[nn.Module, ...] | None:
    """Return what a network applies after its last stage to answer; () for nothing, None if it answers otherwise.

    Raises:
        UserError: it has no stages.
    """
    return _divided(module)[1]


def readouts_of(module: nn.Module) -> tuple[nn.Module, ...] | None:
    """Return what a network declares to answer from each of its stages; None if only its head answers.

    A network declares them by a method ``readouts()``, a list of modules from h_l to logits, one for each stage, which
    are modules of the network.

    Raises:
        UserError: it declares something else.
    """
    original = _original(module)
    found = _declaration(original, _READOUTS)
    if found is None:
        return None
    number = len(_divided(module)[0])
    fits = isinstance(found, Sequence) and len(found) == number and _modules(found)
    held = {id(weight) for weight in original.parameters()}
    if not fits or any(id(weight) not in held for part in found for weight in part.parameters()):
        raise UserError(
            f"model: {_READOUTS} of {_kind(original)} must return a list of {number} modules that the model holds, "
            f"one for each stage, got {found!r}; make them in __init__"
        )
    return tuple(found)


def has_stages(module: nn.Module) -> bool:
    """Say whether a network has stages."""
    try:
        return bool(stages(module))
    except UserError:
        return False


def representations(stages_of_it: Iterable[Stage], features: Tensor) -> Iterator[Tensor]:
    """Yield h_1, …, h_L of examples, shapes (n, …)."""
    for stage in stages_of_it:
        features = stage(features)
        yield features


def applied(modules: Iterable[nn.Module], features: Tensor) -> Tensor:
    """Return what modules make of a tensor, one after the other."""
    for part in modules:
        features = part(features)
    return features


def pooled(representation: Tensor) -> Tensor:
    """Return a representation as one row an example, shape (n, width): channels are averaged over their positions."""
    return representation.flatten(2).mean(2) if representation.dim() > 2 else representation


def _divided(module: nn.Module) -> tuple[list[tuple[nn.Module, ...]], tuple[nn.Module, ...] | None]:
    """Return the modules of each stage, and those of the head."""
    original = _original(module)
    declared = _declaration(original, _DECLARED)
    if declared is not None:
        return _as_declared(original, declared)
    # What another network does with its parts is not known.
    parts, last = _division(list(_steps(original))) if _is_sequence(original) else ([], ())
    if not parts:
        of_words = any(isinstance(part, nn.Embedding) for part in original.modules())
        advice = (
            "none for words has any: leave out what needs them" if of_words else "choose another, such as model=mlp"
        )
        raise UserError(
            f"model must be a network with stages, parts that end with a nonlinearity, got none in {_kind(original)}; "
            f"{advice}, or give your own a method {_DECLARED}() (see fedlayers.core.stages.stages)"
        )
    return parts, last


def _declaration(original: nn.Module, method: str) -> Any:
    """Return what a network's own method of that name gives, None if it has none."""
    declare = getattr(original, method, None)
    if declare is None:
        return None
    try:
        return declare()
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UserError(f"model: {method} of {_kind(original)} must return modules, got an error: {reason}") from error


def _original(module: nn.Module) -> Any:
    """Return the network that ``torch.compile`` was given, or the network itself."""
    return getattr(module, "_orig_mod", module)


def _as_declared(module: nn.Module, found: Any) -> tuple[list[tuple[nn.Module, ...]], tuple[nn.Module, ...] | None]:
    allowed = "a list of stages, each a tuple of modules with parameters, and a tuple of modules or None"
    pair = isinstance(found, tuple) and len(found) == 2
    parts, last = found if pair else ((), ())
    listed = isinstance(parts, Sequence) and len(parts) > 0
    if not (pair and listed and all(map(_modules, (*parts, () if last is None else last)))):
        raise UserError(
            f"model: {_DECLARED} of {_kind(module)} must return {allowed}, got {found!r}; such as [(self.conv1, "
            "self.relu)], (self.fc,)"
        )
    bare = next((place for place, own in enumerate(parts, 1) if not any(map(_has_weights, own))), None)
    if bare is not None:
        raise UserError(
            f"model: {_DECLARED} of {_kind(module)} must return {allowed}, got no parameters in stage {bare}; "
            "join it with the one before it"
        )
    return [tuple(own) for own in parts], None if last is None else tuple(last)


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _modules(own: Any) -> bool:
    return isinstance(own, Sequence) and all(isinstance(part, nn.Module) for part in own)


def _steps(module: nn.Module) -> Iterator[nn.Module]:
    """Yield what a network applies one after the other, the parts of each ``nn.Sequential``."""
    if _is_sequence(module):
        for part in module:
            yield from _steps(part)
    else:
        yield module


def _is_sequence(module: nn.Module) -> TypeGuard[nn.Sequential]:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _division(steps: Sequence[nn.Module]) -> tuple[list[tuple[nn.Module, ...]], tuple[nn.Module, ...]]:
    """Return the modules of each stage, and those that follow the last nonlinearity from the first weights on."""
    parts: list[list[nn.Module]] = [[]]
    is_over = False
    for step in steps:
        is_nonlinear = isinstance(step, _NONLINEARITIES)
        if is_over and not is_nonlinear and _has_weights(step):
            parts.append([])
            is_over = False
        parts[-1].append(step)
        # A nonlinearity before all weights ends nothing.
        weighted = any(map(_has_weights, parts[-1]))
        is_over = weighted and (is_over or any(isinstance(part, _NONLINEARITIES) for part in step.modules()))
    whole = parts if is_over else parts[:-1]
    return [tuple(own) for own in whole], () if is_over else tuple(parts[-1])


def _layer_names(module: nn.Module) -> dict[int, str]:
    """Return the id of each module that owns parameters -> the name of its layer, those inside another's left out."""
    layers = layers_of(module)
    names = [layer.name for layer in layers]
    outer = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
    return {id(module.get_submodule("" if name == ROOT else name)): name for name in outer}


def _last_layer(own: Sequence[nn.Module], names: dict[int, str]) -> str:
    """Return the name of the last layer with weights among modules."""
    found = [names[id(inner)] for part in own for inner in part.modules() if id(inner) in names]
    # A module that is used again owns what an earlier one was named after.
    return found[-1] if found else next(iter(names.values()))


def _kind(module: nn.Module) -> str:
    return type(module).__name__
