"""The ``flower`` engine: Flower's own simulation runtime behind our Grid: stable node ids, sorted replies, a stop flag.

Flower's runtime lives in a thread of its own; its ServerApp hands its Grid over and waits until the run is closed.
"""

import contextlib
import logging
import queue
import threading
import time

import psutil
from flwr.app import ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import Stopped, WorkerLost
from fedlayers.engines.base import EngineGrid, Workplace, run_message
from fedlayers.engines.ray.cluster import connect
from fedlayers.engines.ray.resources import resources
from fedlayers.engines.ray.worker_pool import end_kept
from fedlayers.flower.adapter import Grid, integer, records_of, run_simulation
from fedlayers.runs.client_state import StateStore

PULL_S = 0.05
START_S = 120.0


class FlowerGrid(EngineGrid):
    """Runs clients in Flower's simulation runtime."""

    def __init__(self, workplace: Workplace, engine: Engine) -> None:
        super().__init__(workplace)
        connect(engine.address)
        end_kept()  # they would hold what Flower's need
        options, _ = resources(engine, len(workplace.costs))
        self._closed = threading.Event()
        self._failure: list[BaseException] = []
        self._handed_over: queue.Queue[Grid] = queue.Queue()
        self._thread = threading.Thread(target=self._simulate, args=(options,), daemon=True)
        self._thread.start()
        self._grid = self._wait_for_grid()
        self._node_of, self._client_of = self._ask_partitions()

    def deliver(self, messages: list[Message]) -> list[Message]:
        """Send through Flower's runtime and pull replies until all are in."""
        for message in messages:
            message.metadata.dst_node_id = self._node_of[message.metadata.dst_node_id - 1]
        replies = self._exchange(messages)
        for reply in replies:
            reply.metadata.__dict__["_src_node_id"] = self._client_of[reply.metadata.src_node_id] + 1
        return replies

    def close(self) -> None:
        """End the runtime; Flower shuts Ray down with it. After a signal clients still at work here are ended."""
        self._closed.set()
        if self.workplace.stop.is_set():
            # Flower would print how each of them died.
            logging.getLogger("flwr").setLevel(logging.CRITICAL)
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "ray::ClientAppActor" in " ".join(process.cmdline()):
                        process.kill()
        self._thread.join(timeout=10)

    def _simulate(self, options: dict[str, float]) -> None:
        server = ServerApp()

        @server.main()
        def main(grid: Grid, _context: Context) -> None:
            self._handed_over.put(grid)
            self._closed.wait()

        try:
            run_simulation(
                server_app=server,
                client_app=_with_states(self.workplace),
                num_supernodes=len(self.workplace.costs),
                backend_config={"client_resources": {**options}},
            )
        except BaseException as error:
            self._failure.append(error)

    def _wait_for_grid(self) -> Grid:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and not self._failure:
            with contextlib.suppress(queue.Empty):
                return self._handed_over.get(timeout=PULL_S)
        raise WorkerLost(f"Flower's runtime did not start: {self._failure[0] if self._failure else 'no answer'}")

    def _ask_partitions(self) -> tuple[list[int], dict[int, int]]:
        """Learn which random node id stands for which client."""
        while len(nodes := list(self._grid.get_node_ids())) < len(self.workplace.costs):
            self._check_alive()
            time.sleep(PULL_S)
        content = RecordDict({"config": ConfigRecord({})})
        replies = self._exchange([Message(content, node, MessageType.QUERY) for node in nodes], told=False)
        client_of = {
            r.metadata.src_node_id: integer(records_of(r.content, MetricRecord)["partition"]["partition-id"])
            for r in replies
        }
        return sorted(client_of, key=client_of.__getitem__), client_of

    def _exchange(self, messages: list[Message], told: bool = True) -> list[Message]:
        waiting = set(self._grid.push_messages(messages))
        replies: list[Message] = []
        while waiting:
            if self.workplace.stop.is_set():
                raise Stopped
            self._check_alive()
            received = list(self._grid.pull_messages(waiting))
            replies += received
            waiting -= {reply.metadata.reply_to_message_id for reply in received}
            if received and told:
                self.workplace.arrived(received)
            elif not received:
                time.sleep(PULL_S)
        return replies

    def _check_alive(self) -> None:
        if self._failure or not self._thread.is_alive():
            raise WorkerLost(f"Flower's runtime ended: {self._failure[0] if self._failure else 'without a reason'}")


def _with_states(workplace: Workplace) -> ClientApp:
    """Return the app with the clients' states read from and proposed to disk around every message."""
    app, folder, clients = workplace.app, workplace.state_dir.resolve(), len(workplace.costs)
    wrapped = ClientApp()

    @wrapped.train()
    def train(message: Message, context: Context) -> Message:
        return run_message(app, message, int(context.node_config["partition-id"]), StateStore(folder), clients)

    @wrapped.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return run_message(app, message, int(context.node_config["partition-id"]), StateStore(folder), clients)

    @wrapped.query()
    def query(message: Message, context: Context) -> Message:
        return app(message, context)

    return wrapped
