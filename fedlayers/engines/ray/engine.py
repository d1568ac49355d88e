"""The ``ray`` engine: persistent Ray actors, weights shared through the object store, longest clients first."""

import itertools
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from flwr.app import Message, Metadata
from flwr.clientapp import ClientApp

from fedlayers.config.schema.settings import Engine
from fedlayers.core.errors import WorkerLost, one_line
from fedlayers.engines.base import EngineGrid, R, S, T, Workplace, cohorts_of, run_cohort
from fedlayers.engines.ray import worker_pool
from fedlayers.engines.ray.cluster import INLINE_BYTES, RAYS_INLINE_BYTES, connect
from fedlayers.engines.ray.mapped_work import ItemWorker, MappedWork
from fedlayers.engines.ray.phase import Chunk, Contents, InFlight, Unit
from fedlayers.engines.ray.placement import Chunks, blocks_pay
from fedlayers.engines.ray.resources import resources
from fedlayers.engines.ray.shared_files import check_shared
from fedlayers.engines.ray.workers import ATTEMPTS, WorkerDied, Workers, answer
from fedlayers.flower.adapter import make_message, set_identity
from fedlayers.flower.arrays import pack_reply, size_bytes, unpack
from fedlayers.flower.sums import WorkerSums, block_of
from fedlayers.runs.client_state import StateStore

logger = logging.getLogger(__name__)

# Work worth one dispatch, and the most weights that travel back in one chunk.
DISPATCH_S = 0.25
# Work that is worth another worker: with less the workers, the server and Ray wait for one another's cores.
WORKER_S = 0.015
CHUNK_BYTES = 64 * 2**20


class Worker(ItemWorker):
    """A process that runs clients and helps the server; it keeps model, data and metrics from message to message."""

    def __init__(self) -> None:
        set_identity()

    def begin(self, app: ClientApp, state_dir: Path, num_clients: int) -> None:
        """Take up a run."""
        self.app = app
        self.store = StateStore(state_dir)
        self.num_clients = num_clients

    def leave(self) -> None:
        """Let go of the run; the next one may begin."""
        self.forget()
        del self.app, self.store

    def pid(self) -> int:
        """Return the process id."""
        return os.getpid()

    def run(
        self,
        tasks: Sequence[tuple[Metadata, int]],
        cohorts: Sequence[int],
        blocks: Mapping[int, Sequence[int]],
        average_by: str | None,
        *contents: tuple[Any, ...],
    ) -> tuple[list[Any], float]:
        """Run one chunk of messages and return its packed replies and the seconds it took.

        Args:
            tasks: each message's metadata and the place of its content.
            cohorts: how many of the tasks are one cohort, one after another.
            blocks: block -> the places among the tasks of its messages, for the blocks that are here as a whole.
            average_by: the metric that weighs clients when whole blocks are added up here; None sends all arrays.
            *contents: the packed contents.
        """
        began = time.perf_counter()
        unpacked = [unpack(content) for content in contents]
        messages = iter([make_message(content=unpacked[place], metadata=metadata) for metadata, place in tasks])
        replies: list[Message] = []
        sums, ends = WorkerSums(average_by or ""), {max(places): block for block, places in blocks.items()}
        for size in cohorts:
            replies += run_cohort(self.app, list(itertools.islice(messages, size)), self.store, self.num_clients)
            for block in (ends[place] for place in range(len(replies) - size, len(replies)) if place in ends):
                found = [replies[place] for place in blocks[block]]
                if not any(reply.has_error() for reply in found):
                    sums.add(block, [reply.content for reply in found])
        sums.finish()
        return [pack_reply(reply) for reply in replies], time.perf_counter() - began


class RayGrid(EngineGrid):
    """Runs clients on Ray actors and replaces those that die."""

    def __init__(self, workplace: Workplace, engine: Engine) -> None:
        super().__init__(workplace)
        connect(engine.address)
        if engine.address is not None:
            self.remarks.append(check_shared(workplace.shared))
        self._inline_bytes = INLINE_BYTES if engine.address is None else RAYS_INLINE_BYTES
        self._options, count = resources(engine, len(workplace.costs))
        # One copy of the app in the object store serves every actor, replacements included.
        self._app = ray.put(workplace.app)
        self._workers = Workers(self._start, count, workplace.stop)
        # How long a unit of cost took last, by message type: cheap clients are sent in fewer, larger chunks.
        self._seconds_per_cost: dict[str, float] = {}

    @property
    def num_workers(self) -> int:
        """The number of worker processes."""
        return len(self._workers)

    def worker_pids(self) -> list[int]:
        """Return the workers' process ids."""
        return list(ray.get([actor.pid.remote() for actor in self._workers.actors]))

    def deliver(self, messages: list[Message]) -> list[Message]:
        """Hand chunks of messages to free workers, costliest clients first, until all replies are in."""
        phase = self._plan(messages)
        while phase.waiting or phase.running:
            self._dispatch(phase)
            ready = self._workers.wait(phase.running)
            finished = [(reference, phase.running.pop(reference)) for reference in ready]
            # Workers get their next chunk before the replies of the last are fetched.
            self._dispatch(phase)
            for reference, chunk in finished:
                self._receive(phase, reference, chunk)
        return phase.replies

    def parallel_map(self, function: Callable[[S, T], R], shared: S, items: Sequence[T], /) -> list[R]:
        """Return ``[function(shared, item) for item in items]``, computed by the workers.

        What cannot be pickled, and what fails there, is computed here: an exception reaches the caller as itself.

        Raises:
            Stopped: a signal asked the run to stop.
            WorkerLost: an item killed its worker again and again, or there are no workers any more.
        """
        try:
            task = ray.put((function, shared, items))
        except Exception as error:  # objects refuse to be pickled in any way they like
            logger.warning("work of the server cannot be sent to workers: %s", one_line(error))
            return super().parallel_map(function, shared, items)
        done = MappedWork(self._workers, task, len(items)).run()
        left = [place for place in range(len(items)) if place not in done]
        done.update(zip(left, super().parallel_map(function, shared, [items[place] for place in left]), strict=True))
        return [done[place] for place in range(len(items))]

    def close(self) -> None:
        """End the workers, unless a sweep keeps them; Ray itself stays for the next run of this process."""
        worker_pool.leave(self._options, self._workers.actors)

    def _start(self) -> tuple[Any, Any]:
        place = self.workplace
        actor = worker_pool.take(self._options) or ray.remote(Worker).options(**self._options).remote()
        return actor, actor.begin.remote(self._app, place.state_dir.resolve(), len(place.costs))

    def _cost(self, messages: Iterable[Message]) -> float:
        costs = self.workplace.costs
        return sum(costs[message.metadata.dst_node_id - 1] for message in messages)

    def _dispatch(self, phase: InFlight) -> None:
        """Give every worker a chunk to run and one to run next, so that none waits for its next dispatch."""
        for depth in range(2):
            for worker in self._workers.present():
                queue = [chunk for chunk in phase.running.values() if chunk.worker == worker]
                if phase.waiting and len(queue) == depth and not (depth and phase.suspects(queue)):
                    unit = self._next_chunk(phase)
                    chunk = Chunk(unit.messages, unit.cost, worker, self._workers.actors[worker])
                    phase.running[self._send(chunk, phase)] = chunk

    def _plan(self, messages: list[Message]) -> InFlight:
        """Cut a phase into units: cohorts; of single clients, blocks if those are cheap or sums of them pay."""
        blocks = block_of(messages)
        per_cost = self._seconds_per_cost.get(messages[0].metadata.message_type, math.inf)
        smallest = DISPATCH_S / per_cost
        members: dict[int, list[Message]] = {}
        for node, message in sorted(((m.metadata.dst_node_id, m) for m in messages), key=lambda pair: pair[0]):
            members.setdefault(blocks[node], []).append(message)
        cohorts = cohorts_of(self.workplace.app, messages)
        alone = len(cohorts) == len(messages)
        units = self._units(members.values() if alone else cohorts)
        workers = math.ceil(min(max(per_cost * sum(unit.cost for unit in units) / WORKER_S, 1), len(self._workers)))
        if max(unit.cost for unit in units) > smallest:
            costs = [[self._cost([message]) for message in unit.messages] for unit in units]
            sums = bool(self.average_by)
            if alone and not (sums and blocks_pay(costs, workers, per_cost, size_bytes(messages[0].content))):
                units = self._units(cohorts)
            units.sort(key=lambda unit: -unit.cost)
        numbers = {m.metadata.dst_node_id: number for number, cohort in enumerate(cohorts) for m in cohort}
        return InFlight(units, Chunks(workers, smallest), blocks, numbers, Contents(self._inline_bytes))

    def _units(self, groups: Iterable[list[Message]]) -> list[Unit]:
        return [Unit(group, self._cost(group)) for group in groups]

    def _next_chunk(self, phase: InFlight) -> Unit:
        if phase.suspects([]):  # alone, as _replace put it back, to learn which client kills its worker
            return phase.waiting.pop(0)
        first = phase.waiting[0]
        most = max(1, CHUNK_BYTES // (size_bytes(first.messages[0].content) * len(first.messages) + 1))
        count = phase.chunks.next([unit.cost for unit in phase.waiting], most)
        taken, phase.waiting = phase.waiting[:count], phase.waiting[count:]
        return Unit([message for unit in taken for message in unit.messages], sum(unit.cost for unit in taken))

    def _send(self, chunk: Chunk, phase: InFlight) -> Any:
        """Dispatch a chunk with the contents it needs, each once."""
        places = [phase.contents.place(message.content) for message in chunk.messages]
        used = sorted(set(places))
        tasks = [(m.metadata, used.index(place)) for m, place in zip(chunk.messages, places, strict=True)]
        contents = [phase.contents.packed[place] for place in used]
        blocks = phase.whole_blocks(chunk.messages) if self.average_by else {}
        cohorts = [len(cohort) for cohort in phase.cohorts_in(chunk.messages)]
        return chunk.actor.run.remote(tasks, cohorts, blocks, self.average_by, *contents)

    def _receive(self, phase: InFlight, reference: Any, chunk: Chunk) -> None:
        """Take in a chunk's replies; if its worker died, start another and send the chunk again."""
        try:
            replies, seconds = answer(reference)
        except WorkerDied:
            self._replace(phase, chunk)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        else:
            came = [
                make_message(metadata=metadata, error=error)
                if content is None
                else make_message(metadata=metadata, content=unpack(content))
                for metadata, content, error in replies
            ]
            self.workplace.arrived(came)
            phase.replies += came
            kind = chunk.messages[0].metadata.message_type
            self._seconds_per_cost[kind] = seconds / max(chunk.cost, 1)

    def _replace(self, phase: InFlight, chunk: Chunk) -> None:
        """Start a new worker in the place of a dead one, unless a client has killed several already."""
        # Chunks are in the order in which they were sent: only the first of a worker had begun.
        began = all(other.actor is not chunk.actor for other in phase.running.values() if other.number < chunk.number)
        for message in chunk.messages if began else ():
            key = message.metadata.message_id
            phase.attempts[key] = phase.attempts.get(key, 0) + 1
            if phase.attempts[key] >= ATTEMPTS:
                raise WorkerLost(
                    f"client {message.metadata.dst_node_id - 1}: its worker process died {ATTEMPTS} times in a row; "
                    "most likely it needs more memory than there is: use fewer workers (engine.workers) or a smaller "
                    "training.batch_size"
                )
        phase.waiting = self._units(phase.cohorts_in(chunk.messages)) + phase.waiting
        self._workers.replace(chunk.worker, chunk.actor)
