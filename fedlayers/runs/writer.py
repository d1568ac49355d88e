"""Writes a finished round to the disk while the next one runs."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class RoundWriter:
    """One thread and at most one job: whoever hands in the next waits for the last, and gets its exception."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "writer")
        self._job: Future[None] | None = None

    def later(self, job: Callable[[], None]) -> None:
        """Wait for the last job, then start this one."""
        self.settle()
        self._job = self._pool.submit(job)

    def settle(self) -> None:
        """Wait for the last job and raise what it raised."""
        job, self._job = self._job, None
        if job is not None:
            job.result()

    def close(self) -> None:
        """Finish the last job and end the thread."""
        try:
            self.settle()
        finally:
            self._pool.shutdown()
