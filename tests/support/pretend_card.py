"""A device that is a card as far as torch can tell, for machines without one: ``torch.device("card")``.

Its tensors keep their numbers in the memory of the CPU and refuse what a GPU's refuse: to become an array without
``.cpu()``, to be computed with together with tensors of the CPU, or to be indexed with others' positions.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from flwr.clientapp import ClientApp
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_flatten, tree_map

from fedlayers.config.schema.settings import Config
from fedlayers.execution import assembly
from fedlayers.execution.assembly import assembled
from fedlayers.execution.build import Built
from fedlayers.flower.clientapp import client_app

aten = torch.ops.aten
# What takes tensors of both sides, as on a GPU: copies, and positions in brackets.
_CROSSING = (
    aten.copy_,
    aten._to_copy,
    aten.index,
    aten.index_put,
    aten.index_put_,
    aten._index_put_impl_,
    aten._foreach_copy_,
)
# What has no kernel on a GPU that gives equal bits every time, see ``torch.use_deterministic_algorithms``.
_VARYING = (
    *(
        aten.cumsum,
        aten.kthvalue,
        aten.histc,
        aten.put_,
        aten.grid_sampler_2d_backward,
        aten.upsample_bilinear2d_backward,
    ),
    *(aten._adaptive_avg_pool2d_backward, aten.adaptive_max_pool2d_backward, aten.reflection_pad2d_backward),
)
# Whose result a program waits for: a number, or a shape that depends on numbers.
_READING = (aten._local_scalar_dense, aten.nonzero, aten.equal, aten.masked_select, aten.unique_dim, aten._unique2)
# How often something was read from the card, for which the program waits.
reads = [0]


class OnCard(Tensor):
    """A tensor on the card; ``held`` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnCard":
        """Put a tensor of the CPU on the card; the memory is shared."""
        found: OnCard = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device("card:0"),
        )
        found.held = held
        return found

    def __repr__(self) -> str:  # type: ignore[override]
        """Return the numbers and where they are."""
        return f"OnCard({self.held})"

    def tolist(self) -> Any:
        """Return the numbers; torch's own method knows no tensors of Python."""
        return self.held.tolist()

    @property
    def data(self) -> Any:
        """The numbers without history; others can be put in their place."""
        return Tensor.data.__get__(self)  # type: ignore[attr-defined]

    @data.setter
    def data(self, new: Any) -> None:
        Tensor.data.__set__(self, new)  # type: ignore[attr-defined]
        self.held = new.held

    def untyped_storage(self) -> Any:
        """Return the memory that has the numbers."""
        return self.held.untyped_storage()

    def data_ptr(self) -> int:
        """Return where the numbers are."""
        return self.held.data_ptr()

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, op: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute on the CPU what is computed on the card."""
        return _computed(op, args, kwargs or {})


def _computed(op: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    given = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    ours = {id(one.held): one for one in given if isinstance(one, OnCard)}
    if op.overloadpacket not in _CROSSING and any(one.ndim and not isinstance(one, OnCard) for one in given):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found at least two: {op}")
    if op.overloadpacket in _VARYING and torch.are_deterministic_algorithms_enabled():
        raise RuntimeError(f"{op} does not have a deterministic implementation")
    target = kwargs.get("device")
    found = op(*tree_map(_held, args), **tree_map(_held, dict(kwargs)))
    reads[0] += op.overloadpacket in _READING and any(isinstance(one, OnCard) for one in given)
    if op.overloadpacket is aten._to_copy and target is not None and torch.device(target).type == "cpu":
        reads[0] += 1
        return found
    if torch.Tag.inplace_view in op.tags:
        args[0].data = OnCard(found)
        return args[0]
    if op.overloadpacket is aten.copy_ and not isinstance(args[0], OnCard):
        reads[0] += 1
        return args[0]
    return tree_map(lambda one: _shown(one, ours) if isinstance(one, Tensor) else one, found)


def _shown(held: Tensor, ours: Mapping[int, OnCard]) -> OnCard:
    """Return the tensor on the card that has these numbers: what was changed in place stays itself."""
    return ours[id(held)] if id(held) in ours else OnCard(held)


def _held(value: Any) -> Any:
    """Return what stands for a value on the CPU."""
    if isinstance(value, OnCard):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) else value


class _Module(backend_registration._DummyBackendModule):
    """What torch and the program ask of a kind of device."""

    def mem_get_info(self, device: object = None) -> tuple[int, int]:
        """Return free and all memory in bytes."""
        return 2**30, 2**30

    def synchronize(self, device: object = None) -> None:
        """Wait for nothing."""


@cache
def pretend_card() -> torch.device:
    """Return the device; torch knows it from then on in this process."""
    backend_registration._setup_privateuseone_for_python_backend("card", _Module())
    _library.fallback(_computed_anew, "PrivateUse1")  # type: ignore[no-untyped-call]
    return torch.device("card:0")


_library = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]


def _computed_anew(op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return _computed(op, args, kwargs)


def compute_on_a_card() -> torch.device:
    """Let all runs of this process compute on a GPU, or where there is none on the pretended card, and return which.

    To be called before anything is differentiated: autograd asks once which devices there are.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    card, tensor = pretend_card(), torch.tensor

    def on_either(data: Any, *, device: Any = None, **more: Any) -> Tensor:
        """Return ``torch.tensor``, which copies to a device past what makes this one."""
        return tensor(data, **more) if device is None else tensor(data, **more).to(device)

    def own_client_app(built: Built, config: Config) -> ClientApp:
        """Return the ClientApp, for which the device has no name that a configuration may hold."""
        return client_app(config, assembled, built.federation.digest)

    torch.tensor = on_either  # type: ignore[assignment]
    setattr(assembly, "resolve_device", lambda name: card)  # noqa: B010
    setattr(Built, "client_app", own_client_app)  # noqa: B010
    return card
