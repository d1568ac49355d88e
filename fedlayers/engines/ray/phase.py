"""The ``ray`` engine's account of one phase: which messages wait, which run where, which are answered."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from flwr.app import Message, RecordDict

from fedlayers.engines.ray.placement import Chunks
from fedlayers.flower.arrays import pack, size_bytes


@dataclass(frozen=True)
class Unit:
    """Messages that stay together, and what they cost."""

    messages: list[Message]
    cost: float


@dataclass
class Chunk:
    """Messages sent to one worker at once, and what they cost."""

    messages: list[Message]
    cost: float
    worker: int
    actor: Any
    number: int = field(default_factory=itertools.count().__next__)


class Contents:
    """Packed message contents: strategies send all clients the same one, which is packed once.

    Args:
        inline_bytes: up to this size contents travel with the call.

    Attributes:
        packed: the contents, the larger ones as references to the object store.
    """

    def __init__(self, inline_bytes: int) -> None:
        self.inline_bytes = inline_bytes
        self.packed: list[Any] = []
        self._known: dict[int, tuple[RecordDict, int]] = {}

    def place(self, content: RecordDict) -> int:
        """Return the place of a content among the packed ones, packing it if it is new."""
        if id(content) not in self._known:
            self._known[id(content)] = (content, len(self.packed))
            packed = pack(content)
            self.packed.append(packed if size_bytes(content) <= self.inline_bytes else ray.put(packed))
        return self._known[id(content)][1]


@dataclass
class InFlight:
    """The messages of one phase: waiting (in units that stay together), running, answered."""

    waiting: list[Unit]
    chunks: Chunks
    blocks: dict[int, int]
    # Node id -> the number of its cohort.
    cohorts: dict[int, int]
    contents: Contents
    running: dict[Any, Chunk] = field(default_factory=dict)
    replies: list[Message] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Count the members of the blocks."""
        self._sizes = Counter(self.blocks.values())

    def suspects(self, queue: Sequence[Chunk]) -> bool:
        """Say whether a message that is next, or one of a queue, was in a worker that died: those run alone."""
        if not self.attempts:
            return False
        messages = itertools.chain(self.waiting[0].messages, *(chunk.messages for chunk in queue))
        return any(message.metadata.message_id in self.attempts for message in messages)

    def cohorts_in(self, messages: Sequence[Message]) -> list[list[Message]]:
        """Return the messages by cohort; those of one stand side by side."""
        groups = itertools.groupby(messages, key=lambda message: self.cohorts[message.metadata.dst_node_id])
        return [list(cohort) for _, cohort in groups]

    def whole_blocks(self, messages: Sequence[Message]) -> dict[int, list[int]]:
        """Return block -> places of its members, by node id, for the blocks that are complete among the messages."""
        places: dict[int, list[int]] = {}
        for node, place in sorted((message.metadata.dst_node_id, place) for place, message in enumerate(messages)):
            places.setdefault(self.blocks[node], []).append(place)
        return {block: found for block, found in places.items() if len(found) == self._sizes[block]}
