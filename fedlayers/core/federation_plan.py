"""The federation plan: which layers of a model the clients share, and which stay with each of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from fedlayers.core.errors import UserError
from fedlayers.core.layers import Layer
from fedlayers.core.spelling import did_you_mean, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class FederationPlan:
    """Which layers travel between server and clients; the buffers of a layer go where its parameters go.

    Attributes:
        personal: the layers that stay with the clients, in the model's order; what is not named is shared.
    """

    personal: tuple[Layer, ...] = ()

    @classmethod
    def all(cls) -> "FederationPlan":
        """Return the plan that shares all layers."""
        return cls()

    @classmethod
    def keeping(cls, names: Iterable[str], layers: Sequence[Layer], key: str) -> "FederationPlan":
        """Return the plan that shares all layers of a model but some.

        Args:
            names: the layers that stay with the clients.
            layers: the model's layers, in order.
            key: the dotted key that an error names.

        Raises:
            UserError: the model has no layer of a name.
        """
        wanted, known = list(names), [layer.name for layer in layers]
        for name in wanted:
            if name not in known:
                advice = did_you_mean(nearest(name, known), "name some of those")
                raise UserError(f"{key} must name layers of the model ({', '.join(known)}), got {name!r}; {advice}")
        return cls(tuple(layer for layer in layers if layer.name in wanted))

    @property
    def is_whole(self) -> bool:
        """Whether all layers are shared, so that the server has a whole model."""
        return not self.personal

    @cached_property
    def _kept(self) -> frozenset[str]:
        return frozenset(name for layer in self.personal for name in (*layer.names, *layer.buffers))

    def shares(self, layer: Layer) -> bool:
        """Say whether a layer is shared."""
        return layer not in self.personal

    def shared(self, layers: Iterable[Layer]) -> tuple[Layer, ...]:
        """Return those layers that are shared."""
        return tuple(layer for layer in layers if self.shares(layer))

    def travelling(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Return the parameters or buffers, by name, that travel: all but those of personal layers."""
        return {name: tensor for name, tensor in tensors.items() if name not in self._kept}

    def staying(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Return the parameters or buffers, by name, that stay with the client."""
        return {name: tensor for name, tensor in tensors.items() if name in self._kept}

    @property
    def why_no_model(self) -> str:
        """Why what needs a whole model on the server is missing."""
        return f"the federation plan leaves {_listed(self.personal)} with the clients: no model is whole on the server"

    def why_missing(self, layer: Layer) -> str:
        """Return why what needs a personal layer's weights on the server is missing."""
        return f"the federation plan leaves {layer.name} with the clients"


def _listed(layers: Sequence[Layer]) -> str:
    names = [layer.name for layer in layers]
    return ", ".join(names) if len(names) < 5 else f"{', '.join(names[:3])} and {len(names) - 3} more layers"
