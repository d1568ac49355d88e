"""Slow work, each piece once however many ask for it: it waits, runs in a worker, and ends, fails or is cancelled."""

import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from fedlayers.core.errors import UserError
from fedlayers.core.machine.disk import DiskError
from fedlayers.explore.mistakes.statuses import NotThere
from fedlayers.explore.slow.kept import Kept, key_of
from fedlayers.explore.slow.worker import Asked, Cancelled, SlowWorker

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
_REMEMBERED, _HELD = 1000, 32


@dataclass
class SlowJob:
    """A piece of slow work.

    Attributes:
        key: of its result; the same work on the same contents is one job.
        asked: what is done.
        state: where it stands.
        share: how much of it is done, from 0 to 1; None if that is not known.
        message: what it does at the moment, or why it failed.
        unkept: part -> what it found, if that could not be written to the disk.
    """

    key: str
    asked: Asked
    state: str = WAITING
    share: float | None = None
    message: str = ""
    cancel: threading.Event = field(default_factory=threading.Event)
    unkept: Mapping[str, pa.Table] = field(default_factory=dict)

    def went_on(self, share: float | None, message: str) -> None:
        """Take note of progress."""
        self.share, self.message = share, message


class SlowJobs:
    """Takes slow work, and keeps what it found.

    Args:
        kept: where results are.
        workers: how many pieces are done at once.
    """

    def __init__(self, kept: Kept, workers: int = 2) -> None:
        self._kept, self._lock = kept, threading.Lock()
        self._jobs: OrderedDict[str, SlowJob] = OrderedDict()
        self._queue: queue.SimpleQueue[SlowJob] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True, name="slow work") for _ in range(workers)]
        self._begun = False

    def ask(self, asked: Asked, made_of: Mapping[str, str], part: str) -> "SlowJob | pa.Table":
        """Return a part of what a piece of work found, or the job that does it.

        One that was cancelled, or whose result is gone, is begun anew; one that failed, too, once that was told.

        Args:
            asked: what is done.
            made_of: name -> digest of what it reads.
            part: of the result.
        """
        key = asked_key(asked, made_of)
        if (found := self._kept.find(key, part)) is not None:
            return found
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and part in job.unkept:
                return job.unkept[part]
            if job is not None and job.state == FAILED:
                # Told once to who asks again, however long it took to fail; who asks after that has it tried anew.
                return self._jobs.pop(key)
            if job is None or job.state in ENDED:
                job = self._jobs[key] = SlowJob(key, asked)
                self._jobs.move_to_end(key)
                self._forget()
                self._queue.put(job)
            if not self._begun:
                self._begun = True
                for thread in self._threads:
                    thread.start()
        return job

    def job(self, key: str) -> SlowJob:
        """Return a job.

        Raises:
            NotThere: there is none of this key, or it was forgotten.
        """
        with self._lock:
            found = self._jobs.get(key)
        if found is None:
            raise NotThere(f"there is no job {key!r}: ask again for what it was to find")
        return found

    def cancel(self, key: str) -> SlowJob:
        """Stop a job that has not ended."""
        job = self.job(key)
        job.cancel.set()
        if job.state == WAITING:
            job.state = CANCELLED
        return job

    def _forget(self) -> None:
        for key in [key for key, job in self._jobs.items() if job.state in ENDED][
            : max(0, len(self._jobs) - _REMEMBERED)
        ]:
            del self._jobs[key]

    def _work(self) -> None:
        """Do one job after the other."""
        worker: SlowWorker | None = None
        while True:
            job = self._queue.get()
            if job.cancel.is_set():
                job.state = CANCELLED
                continue
            job.state = RUNNING
            worker = worker or SlowWorker()
            try:
                found = worker.carry_out(job.asked, job.went_on, job.cancel)
                try:
                    self._kept.keep(job.key, found)
                except DiskError:
                    self._hold(job, found)
                job.state = DONE
            except Cancelled:
                job.state, worker = CANCELLED, None
            except UserError as error:
                job.message, job.state = str(error), FAILED
                worker = worker if worker.lives else None

    def _hold(self, job: SlowJob, found: Mapping[str, pa.Table]) -> None:
        """Hold in memory what the disk does not take, of the last jobs."""
        with self._lock:
            job.unkept = found
            holding = [one for one in self._jobs.values() if one.unkept]
            for old in holding[:-_HELD]:
                old.unkept = {}


def asked_key(asked: Asked, made_of: Mapping[str, str]) -> str:
    """Return the key of what a piece of work finds in these contents."""
    return key_of(asked.work, {"run": str(asked.run), **asked.settings}, made_of)
