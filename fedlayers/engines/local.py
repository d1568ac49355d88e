"""The ``local`` engine: clients in this process, one cohort after the other; for debugging and tiny runs."""

from flwr.app import Message

from fedlayers.core.errors import Stopped
from fedlayers.core.machine.signals import interruptible
from fedlayers.engines.base import EngineGrid, cohorts_of, run_cohort
from fedlayers.runs.client_state import StateStore


class LocalGrid(EngineGrid):
    """Runs clients in the calling thread."""

    def deliver(self, messages: list[Message]) -> list[Message]:
        """Run the messages in order of the clients, those of a cohort side by side."""
        place = self.workplace
        store = StateStore(place.state_dir)
        replies: list[Message] = []
        for cohort in cohorts_of(place.app, messages):
            if place.stop.is_set():
                raise Stopped
            with interruptible():
                came = run_cohort(place.app, cohort, store, len(place.costs))
            place.arrived(came)
            replies += came
        return replies
