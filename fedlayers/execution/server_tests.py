"""The server's own tests of the global model, beside the clients and, where nobody waits, the next ones."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from fedlayers.core.records import Row
from fedlayers.execution.progress import Progress
from fedlayers.flower.global_model import GlobalModel
from fedlayers.flower.replies import Means, Replies
from fedlayers.measuring.server import ServerMeasuring

# Where the scores that are shown come from, the first of them that was measured.
_SHOWN = ("server_test", "client_test", "client_val")
_METRICS = ("accuracy", "subset_accuracy", "loss")


class ServerTests:
    """One test at a time, in a thread of its own.

    Args:
        measuring: what tests.
    """

    def __init__(self, measuring: ServerMeasuring) -> None:
        self._measuring = measuring
        self._pool = ThreadPoolExecutor(1, "server test")
        self._test: Future[list[Row]] | None = None

    def start(self, model: GlobalModel, server_round: int, moment: str, known: Collection[str]) -> None:
        """Begin to test a model, but for metrics that are known; where clients share process and model, end first."""
        plan = self._measuring.packing.plan_of(server_round)
        self._test = self._pool.submit(self._measuring.test, replace(model), server_round, moment, plan, known)
        if not self._measuring.concurrent:
            self._test.result()

    def join(self, phase: Replies, server_round: int, moment: str) -> None:
        """Wait for the test and add what it found to a phase, unless nobody waits for it: then it goes on."""
        if self._test is not None and not self._measuring.nobody_waits(server_round, moment):
            phase.add(self._test.result())
            self._test = None

    def going_on(self) -> Future[list[Row]] | None:
        """Return the test that goes on, once: who asks takes it over."""
        test, self._test = self._test, None
        return test

    def close(self) -> None:
        """End the last test and the thread."""
        self._pool.shutdown()


class ShownScores:
    """Shows accuracy and loss of each round, measured on the same examples in every one.

    Args:
        progress: where.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._scope: str | None = None
        self._open: tuple[int, Replies] | None = None

    def later(self, server_round: int, phase: Replies) -> None:
        """Note a round that is to be shown once its evaluation is complete."""
        self._open = server_round, phase

    def show(self) -> None:
        """Show the round that was noted, if it was not shown yet."""
        if self._open is None:
            return
        (server_round, phase), self._open = self._open, None
        means = phase.means(_METRICS)
        self._scope = self._scope or next((scope for scope in _SHOWN if means.of("loss", scope) is not None), None)
        accuracy, of_sets, loss = (self._mean(means, metric) for metric in _METRICS)
        self._progress.round_done(server_round, of_sets if accuracy is None else accuracy, loss)

    def _mean(self, means: Means, metric: str) -> float | None:
        return means.of(metric, self._scope) if self._scope else None
