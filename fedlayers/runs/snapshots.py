"""Models that a run keeps: of the rounds that the user names, and of the best one."""

from dataclasses import dataclass

from flwr.app import ArrayRecord
from torch import Tensor

from fedlayers.config.schema.settings import Config
from fedlayers.core.schedule import Schedule
from fedlayers.core.weights import to_safetensors_bytes
from fedlayers.flower.adapter import records_of
from fedlayers.flower.arrays import tensor_of
from fedlayers.flower.contents import BUFFERS
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Replies
from fedlayers.flower.session import MODEL
from fedlayers.runs.checkpoint import Best
from fedlayers.runs.client_state import StateStore


@dataclass
class SnapshotChoice:
    """Says which models a round leaves, as file name -> safetensors.

    Attributes:
        config: which rounds, and whether the clients' models are kept too.
        has_global_model: whether the strategy has a model of its own.
        best: the round with the lowest validation loss so far.
    """

    config: Config
    has_global_model: bool
    best: Best | None = None

    def due(self, server_round: int) -> bool:
        """Say whether snapshots are due at a round."""
        return Schedule(self.config.snapshots.rounds, key="snapshots").is_due_round(server_round, self.config.rounds)

    def need_clients(self, server_round: int) -> bool:
        """Say whether every client's own weights are needed at a round."""
        return self.config.snapshots.clients and self.due(server_round)

    def of_round(
        self, server_round: int, loss: float | None, model: GlobalModel, train: Replies, states: StateStore
    ) -> dict[str, bytes]:
        """Return the files of a round.

        Args:
            server_round: the round.
            loss: mean loss on the clients' validation examples (never on test examples), None if there are none.
            model: the global model after the round.
            train: the replies of the clients that trained.
            states: the clients' personal states, committed: they hold the layers that were not sent.
        """
        files: dict[str, bytes] = {}
        if loss is not None and (self.best is None or loss < self.best.value):
            self.best = Best(server_round, "client_val loss, mean over examples", loss)
            if self.has_global_model:
                files["best.safetensors"] = model.packed()
        if self.due(server_round) and self.has_global_model:
            files[f"server@{server_round}.safetensors"] = model.packed()
        if self.need_clients(server_round):
            for client, weights in train.weights().items():
                sent = {**weights, **train.buffers.get(client, {})}
                kept = _own(states, client, server_round)
                packed = to_safetensors_bytes(sent | {name: kept[name] for name in kept if name not in sent})
                files[f"client{client}@{server_round}.safetensors"] = packed
        return files


def _own(states: StateStore, client: int, server_round: int) -> dict[str, Tensor]:
    """Return the parameters and buffers of the model that a client keeps."""
    kept = records_of(states.load(client, server_round, proposed=False), ArrayRecord)
    return {
        name: tensor_of(array) for record in (MODEL, BUFFERS) for name, array in kept.get(record, ArrayRecord()).items()
    }
