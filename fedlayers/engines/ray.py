"""The ``ray`` engine: persistent Ray actors, weights shared through the object store, longest clients first."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from flwr.app import Message, Metadata, RecordDict
from flwr.clientapp import ClientApp

from fedlayers.config import Engine
from fedlayers.engines.base import EngineGrid, Workplace, run_message
from fedlayers.engines.cluster import connect
from fedlayers.engines.placement import next_chunk
from fedlayers.errors import Stopped, UserError, WorkerLost
from fedlayers.flower import make_message, set_identity
from fedlayers.state import StateStore

ATTEMPTS = 3
POLL_S = 0.2


class Worker:
    """A process that runs clients; it keeps model, data and metrics from one message to the next."""

    def __init__(self, app: ClientApp, state_dir: Path, num_clients: int) -> None:
        set_identity()
        self.app = app
        self.store = StateStore(state_dir)
        self.num_clients = num_clients

    def pid(self) -> int:
        """Return the process id."""
        return os.getpid()

    def run(self, tasks: Sequence[tuple[Metadata, int]], *contents: RecordDict) -> list[Message]:
        """Run one chunk of messages: each task is a message's metadata and the place of its content."""
        return [
            run_message(
                self.app,
                make_message(content=contents[place], metadata=metadata),
                metadata.dst_node_id - 1,
                self.store,
                self.num_clients,
            )
            for metadata, place in tasks
        ]


@dataclass
class _Chunk:
    """Messages sent to one worker at once."""

    messages: list[Message]
    worker: int


class RayGrid(EngineGrid):
    """Runs clients on Ray actors and replaces those that die."""

    def __init__(self, workplace: Workplace, engine: Engine) -> None:
        super().__init__(workplace)
        connect(engine.address)
        self._options, count = resources(engine, len(workplace.costs))
        # One copy of the app in the object store serves every actor, replacements included.
        self._app = ray.put(workplace.app)
        self._workers = [self._start() for _ in range(count)]

    @property
    def num_workers(self) -> int:
        """The number of worker processes."""
        return len(self._workers)

    def worker_pids(self) -> list[int]:
        """Return the workers' process ids."""
        return list(ray.get([worker.pid.remote() for worker in self._workers]))

    def deliver(self, messages: list[Message]) -> list[Message]:
        """Hand chunks of messages to free workers, costliest clients first, until all replies are in."""
        costs = self.workplace.costs
        waiting = sorted(messages, key=lambda m: (-costs[m.metadata.dst_node_id - 1], m.metadata.dst_node_id))
        contents = _Contents()
        attempts: dict[str, int] = {}
        running: dict[Any, _Chunk] = {}
        free = list(range(len(self._workers)))
        replies: list[Message] = []
        while waiting or running:
            while waiting and free:
                size = next_chunk([costs[m.metadata.dst_node_id - 1] for m in waiting], len(self._workers))
                if waiting[0].metadata.message_id in attempts:  # alone, to learn which client kills its worker
                    size = 1
                chunk = _Chunk(waiting[:size], free.pop(0))
                waiting = waiting[size:]
                running[self._send(chunk, contents)] = chunk
            ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
            if self.workplace.stop.is_set():
                raise Stopped
            for reference in ready:
                chunk = running.pop(reference)
                try:
                    received = ray.get(reference)
                except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError):
                    self._replace(chunk, attempts)
                    waiting = chunk.messages + waiting
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                except ray.exceptions.RayError as error:
                    raise WorkerLost(f"Ray stopped answering: {error}") from error
                else:
                    replies += received
                    self.workplace.advance(len(received))
                free.append(chunk.worker)
        return replies

    def close(self) -> None:
        """End the workers; Ray itself stays for the next run of this process."""
        for worker in self._workers:
            ray.kill(worker)
        self._workers = []

    def _start(self) -> Any:
        place = self.workplace
        actor = ray.remote(Worker).options(**self._options)
        return actor.remote(self._app, place.state_dir.resolve(), len(place.costs))

    def _send(self, chunk: _Chunk, contents: "_Contents") -> Any:
        """Dispatch a chunk; the contents it needs travel by reference, once each."""
        places = [contents.place(message.content) for message in chunk.messages]
        used = sorted(set(places))
        tasks = [(m.metadata, used.index(place)) for m, place in zip(chunk.messages, places, strict=True)]
        return self._workers[chunk.worker].run.remote(tasks, *(contents.references[place] for place in used))

    def _replace(self, chunk: _Chunk, attempts: dict[str, int]) -> None:
        """Start a new worker in the place of a dead one, unless its clients have killed several already."""
        for message in chunk.messages:
            key = message.metadata.message_id
            attempts[key] = attempts.get(key, 0) + 1
            if attempts[key] >= ATTEMPTS:
                raise WorkerLost(
                    f"client {message.metadata.dst_node_id - 1}: its worker process died {ATTEMPTS} times in a row; most "
                    "likely it needs more memory than there is: use fewer workers (engine.workers) or a smaller "
                    "training.batch_size"
                )
        self._workers[chunk.worker] = self._start()


class _Contents:
    """Message contents in the object store: strategies send all clients the same one, which is put there once."""

    def __init__(self) -> None:
        self.references: list[Any] = []
        self._known: dict[int, tuple[RecordDict, int]] = {}

    def place(self, content: RecordDict) -> int:
        """Return the place of a content among the references, putting it there if it is new."""
        if id(content) not in self._known:
            self._known[id(content)] = (content, len(self.references))
            self.references.append(ray.put(content))
        return self._known[id(content)][1]


def resources(engine: Engine, num_clients: int) -> tuple[dict[str, float], int]:
    """Return what each worker asks of Ray and how many workers there are."""
    total = ray.clusterresources()
    cpus, gpus = total.get("CPU", 0.0), total.get("GPU", 0.0)
    fit = int(cpus / engine.client_cpus)
    if fit == 0:
        raise UserError(
            f"engine.client_cpus must be at most the {cpus:g} CPUs that Ray has, got {engine.client_cpus:g}"
        )
    if engine.client_gpus > 0:
        fit = min(fit, int(gpus / engine.client_gpus))
        if fit == 0:
            raise UserError(
                f"engine.client_gpus must be at most the {gpus:g} GPUs that Ray has, got {engine.client_gpus:g}"
            )
    count = min(engine.workers or fit, num_clients)
    # More workers than CPUs are allowed (they share), fewer leave CPUs free.
    return {"num_cpus": min(engine.client_cpus, cpus / count), "num_gpus": engine.client_gpus}, count
