"""What a run writes into its messages: the settings of every one, and who is asked to evaluate a global model."""

from collections.abc import Mapping, Sequence

from flwr.app import ConfigRecord, Message, MessageType
from torch import Tensor

from fedlayers.core.weights import to_safetensors_bytes
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.strategy_contract import Declared


def settings_of(server_round: int, last_round: int, moment: str, buffers: Mapping[str, Tensor]) -> ConfigRecord:
    """Return what goes to every client beside the weights."""
    settings = ConfigRecord({"server-round": server_round, "last-round": last_round, "moment": moment})
    if buffers:
        settings["buffers"] = to_safetensors_bytes(buffers)
    return settings


def evaluation_messages(
    strategy: Declared, nodes: Sequence[int], model: GlobalModel, settings: ConfigRecord
) -> list[Message]:
    """Return the messages that ask nodes to evaluate what the strategy has for them, by a global model."""
    contents = strategy.contents(list(nodes), model.record(), settings) if nodes else {}
    return [Message(content, node, MessageType.EVALUATE) for node, content in contents.items()]
