"""Alarms of a run while it goes on: what clients tell of their training, clients far behind, values that cannot be."""

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa
from flwr.app import ConfigRecord, Message, MessageType

from fedlayers.core.quantities import Quantities
from fedlayers.execution.alarms.far_behind import far_behind
from fedlayers.execution.alarms.out_of_range import out_of_range
from fedlayers.execution.progress import Progress
from fedlayers.flower.adapter import records_of
from fedlayers.flower.contents import ALARMS, EXTRA
from fedlayers.flower.replies import Replies

# Sentences of a round that are told; what else there is stands in the tables.
MOST = 10


class Alarms:
    """Tells what goes wrong, once for as long as it goes on; the training goes on, too.

    Args:
        progress: where.
        quantities: what is stated of the quantities that are measured.
    """

    def __init__(self, progress: Progress, quantities: Quantities) -> None:
        self._progress = progress
        self._quantities = quantities
        # Quantities of which it is known that they do not keep to their limits.
        self._outside: set[str] = set()
        # Node -> the kinds of things that its last training told.
        self._sounding: dict[int, set[str]] = {}
        self._behind: set[tuple[int, str]] = set()
        self._told = self._untold = 0

    def hear(self, replies: Sequence[Message]) -> None:
        """Tell what replies that have just come in say of their training."""
        for reply in replies:
            if reply.has_error() or reply.metadata.message_type != MessageType.TRAIN:
                continue
            packed = records_of(reply.content, ConfigRecord).get(EXTRA, ConfigRecord()).get(ALARMS)
            found = json.loads(packed) if isinstance(packed, bytes) else {"told": []}
            node = reply.metadata.src_node_id
            who = "all clients" if found.get("client") is None else f"client {found['client']}"
            for sentence in found["told"]:
                if _kind(sentence) not in self._sounding.get(node, set()):
                    self._tell(f"round {found['round']}, {who}: {sentence}")
            self._sounding[node] = {_kind(sentence) for sentence in found["told"]}

    def compare(self, phase: Replies, server_round: int) -> None:
        """Tell which clients of a training phase are far behind the others in loss or in time, and end the round."""
        found = far_behind(phase)
        for who, text in found.items():
            if who not in self._behind:
                self._tell(f"round {server_round}, client {who[0]}: {text}")
        self._behind = set(found)
        if self._untold:
            self._progress.alarm(f"round {server_round}: {self._untold} more like these")
        self._told = self._untold = 0

    def check(self, tables: Mapping[str, Sequence[pa.Table]], server_round: int) -> None:
        """Tell which quantities have values outside the limits that they state, each once in a process."""
        found = out_of_range(tables, self._quantities)
        for metric in found.keys() - self._outside:
            self._progress.alarm(f"round {server_round}, {found[metric]}")
        self._outside |= found.keys()

    def _tell(self, sentence: str) -> None:
        self._told += 1
        if self._told <= MOST:
            self._progress.alarm(sentence)
        else:
            self._untold += 1


def _kind(sentence: str) -> str:
    return sentence.partition(":")[0]
