"""What the engines share: stable node ids, message ids, running one message, sorted replies."""

import threading
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.clientapp import ClientApp

from fedlayers.core.errors import Stopped
from fedlayers.core.machine.signals import interruptible
from fedlayers.flower.adapter import RUN_ID, Grid, Run, integer, records_of, set_identity, set_message_id
from fedlayers.flower.clientapp import CohortApp
from fedlayers.runs.client_state import StateStore

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")

# Marks, in what travels with a message whatever engine carries it, the round of its client's last committed state.
_STATE = "/state@"


@dataclass(frozen=True)
class Workplace:
    """What every engine is given.

    Attributes:
        app: the ClientApp that runs on every client.
        costs: training examples per client, by which clients are placed.
        state_dir: the folder of the clients' personal states.
        stop: set by a signal; the engine then raises :class:`Stopped` within a second or two.
        arrived: called with replies as they come in.
        shared: what workers on other machines must see as well: what it is -> folder.
        committed: the round of a client's last committed state, None if it has none.
        unseen: clients that never train: no strategy learns of them, but who knows them may send them messages.
    """

    app: ClientApp
    costs: Sequence[int]
    state_dir: Path
    stop: threading.Event
    arrived: Callable[[Sequence[Message]], None]
    shared: Mapping[str, Path] = field(default_factory=dict)
    committed: Callable[[int], int | None] = lambda _: None
    unseen: Collection[int] = ()


class EngineGrid(Grid):
    """A Grid with one node per client, whose id is the client's index plus 1."""

    def __init__(self, workplace: Workplace) -> None:
        set_identity()
        self.workplace = workplace
        # What the user should know about where clients run.
        self.remarks: list[str] = []
        self._run = Run.create_empty(run_id=RUN_ID)
        # The metric that weighs clients where a strategy only averages: workers may then add up what they have.
        self.average_by: str | None = None
        self._sent = 0
        self._pushed: dict[str, Message] = {}

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Send the messages and return all replies, sorted by client.

        Raises:
            Stopped: a signal asked the run to stop.
            WorkerLost: a worker died and its clients could not be run elsewhere.
        """
        outgoing = list(messages)
        for message in outgoing:
            self._sent += 1
            set_message_id(message, str(self._sent))
            committed = self.workplace.committed(message.metadata.dst_node_id - 1)
            if committed is not None:
                message.metadata.group_id += f"{_STATE}{committed}"
        replies = self.deliver(outgoing) if outgoing else []
        self._go_on()
        return sorted(replies, key=lambda reply: reply.metadata.src_node_id)

    @abstractmethod
    def deliver(self, messages: list[Message]) -> list[Message]:
        """Run the messages on their clients and return the replies in any order."""

    def parallel_map(self, function: Callable[[S, T], R], shared: S, items: Sequence[T], /) -> list[R]:
        """Return ``[function(shared, item) for item in items]``, computed here unless the engine knows better.

        Raises:
            Stopped: a signal asked the run to stop.
        """
        results = []
        for item in items:
            self._go_on()
            with interruptible():
                results.append(function(shared, item))
        return results

    def close(self) -> None:
        """Give back what the engine holds."""

    def get_node_ids(self) -> list[int]:
        """Return the node ids: the indices plus 1 of the clients that may train.

        Raises:
            Stopped: a signal asked the run to stop. Strategies that wait for nodes ask again and again.
        """
        self._go_on()
        unseen = self.workplace.unseen
        return [client + 1 for client in range(len(self.workplace.costs)) if client not in unseen]

    def set_run(self, run: Run) -> None:
        """Set the run this Grid works for."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run this Grid works for."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a message to one client."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Run the messages at once and keep the replies for :meth:`pull_messages`."""
        replies = {reply.metadata.reply_to_message_id: reply for reply in self.send_and_receive(messages)}
        self._pushed.update(replies)
        return list(replies)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the kept replies to the given messages."""
        self._go_on()
        return [self._pushed.pop(key) for key in message_ids if key in self._pushed]

    def _go_on(self) -> None:
        """Raise Stopped if a signal asked the run to stop."""
        if self.workplace.stop.is_set():
            raise Stopped


def run_message(app: ClientApp, message: Message, client: int, store: StateStore, num_clients: int) -> Message:
    """Run one message on its client, with the client's personal state around it, and return the reply."""
    server_round = integer(records_of(message.content, ConfigRecord)["config"]["server-round"])
    message.metadata.group_id, _, committed = message.metadata.group_id.partition(_STATE)
    training = message.metadata.message_type == MessageType.TRAIN
    context = Context(
        run_id=RUN_ID,
        node_id=client + 1,
        node_config={"partition-id": client, "num-partitions": num_clients},
        state=store.read(client, server_round, not training, int(committed) if committed else None),
        run_config={},
    )
    reply = app(message, context)
    if training and context.state and not reply.has_error():
        store.propose(client, server_round, context.state)
    return reply


def run_cohort(app: ClientApp, messages: Sequence[Message], store: StateStore, num_clients: int) -> list[Message]:
    """Run the messages of one cohort, its clients side by side, and return the replies in the same order."""
    works = [
        partial(run_message, app, message, message.metadata.dst_node_id - 1, store, num_clients) for message in messages
    ]
    if len(works) > 1 and isinstance(app, CohortApp):
        return app.side_by_side(works)
    return [work() for work in works]


def cohorts_of(app: ClientApp, messages: Iterable[Message]) -> list[list[Message]]:
    """Return the messages by cohort: each so many clients in ascending order, however they are spread over workers."""
    size = app.size if isinstance(app, CohortApp) else 1
    ordered = sorted(messages, key=lambda message: message.metadata.dst_node_id)
    return [ordered[first : first + size] for first in range(0, len(ordered), size)]
