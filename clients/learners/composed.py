"""A learner made of learners: some weights each, an optimizer each, or a network each."""

from collections.abc import Mapping

from torch import Tensor

from clients.learners.base import Learner
from clients.network import Network, Weights


class Composed(Learner):
    """Holds several learners; a subclass says in ``step`` which of them steps when.

    Args:
        parts: name -> learner, at least one. Where they share one network, weights keep their names; else the part's
            name and a stroke stand before.
    """

    def __init__(self, parts: Mapping[str, Learner]) -> None:
        self.parts = parts
        networks: list[Network] = []
        for part in parts.values():
            networks += [network for network in part.networks if all(network is not own for own in networks)]
        self._one = len(networks) == 1
        super().__init__(networks, self._named({name: part.trained for name, part in parts.items()}))
        self.losses = [losses for part in parts.values() for losses in part.losses]

    def watch(self) -> None:
        """Keep the gradients of the next step until they are asked for."""
        for part in self.parts.values():
            part.watch()

    def release(self) -> Weights:
        """Return the gradients of the last step by name, of the parts that took one, and forget them."""
        return self._named({name: part.release() for name, part in self.parts.items()})

    def state(self) -> dict[str, Tensor]:
        """Return the state of all optimizers, the part's name before the tensor's."""
        return {f"{name}/{key}": own for name, part in self.parts.items() for key, own in part.state().items()}

    def load(self, state: Weights) -> None:
        """Go on from a state that :meth:`state` returned."""
        for name, part in self.parts.items():
            start = f"{name}/"
            part.load({key.removeprefix(start): own for key, own in state.items() if key.startswith(start)})

    def _named(self, tensors: Mapping[str, Weights]) -> dict[str, Tensor]:
        return {
            key if self._one else f"{part}/{key}": own for part, named in tensors.items() for key, own in named.items()
        }
