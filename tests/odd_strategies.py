"""Strategies for tests, named by ``_target_``."""

from typing import Any

from strategies.fedavg import FedAvg


class Forgetful(FedAvg):
    """Keeps something that cannot be saved."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.memory = {1, 2, 3}
