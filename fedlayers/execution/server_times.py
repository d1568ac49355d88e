"""How long the server's own parts of a round take, and its memory, as rows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedlayers.core.records import Resource, addressed
from fedlayers.flower.replies import Replies
from metrics.resource_usage.memory import host_bytes


class ServerTimes:
    """Adds up times by name until they are asked for."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Time a block of code."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    def add_to(self, tables: dict[str, list[Any]], server_round: int, moment: str, seconds: float) -> None:
        """Add the times since the last call, that of the whole round and the memory to the tables of a part."""
        times = {**self._seconds, "round_s": seconds}
        self._seconds = {}
        own = Replies(tables=tables)
        rows = [Resource(name, value, "s") for name, value in times.items()]
        rows.append(Resource("server_memory", float(host_bytes()), "bytes"))
        own.add(addressed(rows, owner="server", round=server_round, moment=moment))
