"""Clients that misbehave, named by ``_target_`` in the tests."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from clients.fedavg import FedAvgClient
from fedlayers.flower.session import Scalars, Session


class FailingClient(FedAvgClient):
    """Raises on one client in one round."""

    def __init__(self, session: Session, client: int, server_round: int) -> None:
        super().__init__(session)
        self.fails = session.client == client and session.round == server_round

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Raise, or train."""
        if self.fails:
            raise FloatingPointError("the answer is not a number")
        return super().fit(parameters, config)


class DyingClient(FedAvgClient):
    """Kills its own process the first time one client trains; a marker file remembers that it happened."""

    def __init__(self, session: Session, marker: str) -> None:
        super().__init__(session)
        self.marker = Path(marker)

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Die once, then train."""
        if self.session.client == 1 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(parameters, config)


def forgotten(*_: Any) -> None:
    """Answer nothing, as a method without a ``return`` does."""


class ForgetfulClient(FedAvgClient):
    """Answers nothing in one of its hooks."""

    def __init__(self, session: Session, hook: str) -> None:
        super().__init__(session)
        setattr(self, hook, forgotten)


class InPlaceClient(FedAvgClient):
    """Trains in the very arrays it was given, as clients of Flower's examples may."""

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Add 1 to every weight, in place."""
        sent, count, scalars = super().fit(parameters, config)
        for array, trained in zip(parameters, sent, strict=True):
            array[...] = trained + 1
        return parameters, count, scalars


class JobClient(FedAvgClient):
    """In a SLURM job, is slow with one seed and raises with another; elsewhere it trains as any client."""

    def __init__(self, session: Session, slow_seed: int, failing_seed: int, seconds: float) -> None:
        super().__init__(session)
        self.slow_seed, self.failing_seed, self.seconds = slow_seed, failing_seed, seconds

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Wait, or raise, then train."""
        seed = self.session.workspace.config.seed
        if "SLURM_JOB_ID" in os.environ:
            if seed == self.failing_seed:
                raise FloatingPointError("the answer is not a number")
            if seed == self.slow_seed:
                time.sleep(self.seconds)
        return super().fit(parameters, config)


class WaitingClient(FedAvgClient):
    """Waits half a second, without work for the processor, before it trains."""

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Wait, then train."""
        time.sleep(0.5)
        return super().fit(parameters, config)


class ListeningClient(FedAvgClient):
    """Scales what it sends by a number that its strategy tells it, and adds the sum of a record's."""

    reads = (*FedAvgClient.reads, "scale", "offset")

    def fit(self, parameters: list[np.ndarray], config: Scalars) -> tuple[list[np.ndarray], int, dict[str, Any]]:
        """Train, scale and add."""
        sent, count, scalars = super().fit(parameters, config)
        offset = sum(float(array.numpy().sum()) for array in self.session.content.array_records["offset"].values())
        return [array * np.float32(config["scale"]) + np.float32(offset) for array in sent], count, scalars
