"""The federation plan: which layers of a model the clients share, and which stay with each of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from fedlayers.core.errors import UserError
from fedlayers.core.layers import Layer
from fedlayers.core.spelling import did_you_mean, nearest

T = TypeVar("T")

# What a layer is in a round, a letter each: clients send it, it stays with them, or it came and is not sent back.
SHARED, PERSONAL, WITHHELD = "s", "p", "w"


@dataclass(frozen=True)
class FederationPlan:
    """Which layers travel between server and clients; the buffers of a layer go where its parameters go.

    Attributes:
        personal: the layers that stay with the clients, in the model's order; what is not named is shared.
        withheld: shared layers that came from the server and are not sent back this time: the client goes on from the
            server's as before.
        how: how it was chosen, in words; plans of the same layers are equal, however they were chosen.
        since: the round from which it holds, 0 for from the beginning.
    """

    personal: tuple[Layer, ...] = ()
    withheld: tuple[Layer, ...] = ()
    how: str = field(default="", compare=False)
    since: int = field(default=0, compare=False)

    @classmethod
    def all(cls) -> "FederationPlan":
        """Return the plan that shares all layers."""
        return cls(how="plan=all")

    @classmethod
    def sharing(
        cls, shared: Iterable[Layer], layers: Sequence[Layer], how: str = "", since: int = 0
    ) -> "FederationPlan":
        """Return the plan that shares some of a model's layers, all others being personal."""
        kept = set(shared)
        return cls(tuple(layer for layer in layers if layer not in kept), how=how, since=since)

    @classmethod
    def spelt(cls, letters: str, layers: Sequence[Layer]) -> "FederationPlan":
        """Return the plan that :meth:`letters` spelt for these layers."""
        pairs = list(zip(letters, layers, strict=True))
        return cls(
            tuple(layer for letter, layer in pairs if letter == PERSONAL),
            tuple(layer for letter, layer in pairs if letter == WITHHELD),
        )

    def letters(self, layers: Sequence[Layer]) -> str:
        """Return a letter for each layer of the model: ``s`` shared, ``p`` personal, ``w`` withheld."""
        return "".join(
            PERSONAL if layer in self.personal else WITHHELD if layer in self.withheld else SHARED for layer in layers
        )

    @property
    def is_whole(self) -> bool:
        """Whether no layer stays with the clients, so that the server has a whole model."""
        return not self.personal

    @cached_property
    def _kept(self) -> frozenset[str]:
        return _names(self.personal)

    @cached_property
    def _unsent(self) -> frozenset[str]:
        return self._kept | _names(self.withheld)

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

    def sending(self, tensors: Mapping[str, T]) -> dict[str, T]:
        """Return the parameters or buffers, by name, that clients send: what travels, but for withheld layers."""
        return {name: tensor for name, tensor in tensors.items() if name not in self._unsent}

    @property
    def why_no_model(self) -> str:
        """Why what needs a whole model on the server is missing."""
        return f"the federation plan leaves {_listed(self.personal)} with the clients: no model is whole on the server"

    def why_missing(self, layer: Layer) -> str:
        """Return why what needs a personal layer's weights on the server is missing."""
        return f"the federation plan leaves {layer.name} with the clients"


def named(names: Iterable[str], layers: Sequence[Layer], key: str) -> list[Layer]:
    """Return a model's layers of some names, in the order of the names.

    Args:
        names: the layers' names.
        layers: the model's layers.
        key: the dotted key that an error names.

    Raises:
        UserError: the model has no layer of a name.
    """
    known = {layer.name: layer for layer in layers}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            advice = did_you_mean(nearest(name, list(known)), "name some of those")
            raise UserError(f"{key} must name layers of the model ({', '.join(known)}), got {name!r}; {advice}")
    return [known[name] for name in wanted]


def _names(layers: Iterable[Layer]) -> frozenset[str]:
    return frozenset(name for layer in layers for name in (*layer.names, *layer.buffers))


def _listed(layers: Sequence[Layer]) -> str:
    names = [layer.name for layer in layers]
    return ", ".join(names) if len(names) < 5 else f"{', '.join(names[:3])} and {len(names) - 3} more layers"
