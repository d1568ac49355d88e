"""What a network hands to its last layer, seen while it computes."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext

from torch import Tensor, nn

from clients.fedavg import FedAvgClient
from clients.learners.base import Learner
from clients.network import Network
from clients.observers import Observer
from clients.training import LocalResult
from fedlayers.core.layers import ROOT
from fedlayers.flower.session import OPTIMIZER


class Features:
    """Remembers the input of one layer, shape (b, d), from the last batch.

    Attributes:
        seen: what came, {} before the first batch: network's place -> features.
    """

    def __init__(self, networks: Sequence[Network], layer: str) -> None:
        self.networks, self.layer = networks, layer
        self.seen: dict[int, Tensor] = {}

    def of(self, place: int, inputs: Tensor) -> Tensor:
        """Return a network's features of inputs."""
        self.networks[place](inputs)
        return self.seen[place]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Listen to all networks in a block of code."""
        with ExitStack() as stack:
            for place, network in enumerate(self.networks):
                part = network.module.get_submodule("" if self.layer == ROOT else self.layer)

                def listen(_: nn.Module, inputs: tuple[Tensor, ...], place: int = place) -> None:
                    self.seen[place] = inputs[0].flatten(1)

                stack.callback(part.register_forward_pre_hook(listen).remove)
            yield
        self.seen.clear()


class Listening(FedAvgClient):
    """Looks at features while it trains, where :meth:`learner` has set ``features``."""

    features: Features | None = None

    def train(self, learner: Learner, observers: Sequence[Observer] = (), state: str = OPTIMIZER) -> LocalResult:
        """Train, and look at features meanwhile."""
        with self.features.listening() if self.features is not None else nullcontext():
            return super().train(learner, observers, state)
