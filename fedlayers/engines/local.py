"""The ``local`` engine: every client in this process, one after the other; for debugging and tiny runs."""

from flwr.app import Message

from fedlayers.core.errors import Stopped
from fedlayers.core.signals import interruptible
from fedlayers.engines.base import EngineGrid, run_message
from fedlayers.runs.client_state import StateStore


class LocalGrid(EngineGrid):
    """Runs clients in the calling thread."""

    def deliver(self, messages: list[Message]) -> list[Message]:
        """Run the messages in order of the clients."""
        place = self.workplace
        store = StateStore(place.state_dir)
        replies = []
        for message in sorted(messages, key=lambda m: m.metadata.dst_node_id):
            if place.stop.is_set():
                raise Stopped
            with interruptible():
                replies.append(
                    run_message(place.app, message, message.metadata.dst_node_id - 1, store, len(place.costs))
                )
            place.advance(1)
        return replies
