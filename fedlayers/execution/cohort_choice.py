"""How many clients train as one: as asked, or for ``auto`` one on a CPU, and on a GPU what a short trial finds."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from flwr.app import ConfigRecord

from fedlayers.config.schema.settings import Config
from fedlayers.core.weights import split_state
from fedlayers.engines.base import run_cohort
from fedlayers.execution.build import Built, build_strategy
from fedlayers.execution.rehearsal import first_messages
from fedlayers.flower.adapter import records_of, set_message_id
from fedlayers.flower.clientapp import CohortApp
from fedlayers.flower.contents import EXTRA, REMARK
from fedlayers.flower.strategy_contract import declared
from fedlayers.runs.client_state import StateStore

SIZES = (1, 4, 16, 64, 256)
# A larger cohort must save so much of a client's time, and leave so much of the card's memory.
_WORTH = 0.9
_MEMORY = 0.5


def settled_cohort(config: Config, built: Built, engine: str, facts: Mapping[str, Any]) -> tuple[int, str]:
    """Return how many clients train as one, and a remark if that was tried out.

    Args:
        config: the run's.
        built: its parts.
        engine: which one runs it.
        facts: what run.json states already: what was found once stays, for the last digits depend on it.
    """
    if isinstance(config.training.cohort, int):
        return config.training.cohort, ""
    if isinstance(facts.get("cohort"), int):
        return facts["cohort"], ""
    if built.device.type != "cuda" or engine == "flower" or declared(built.strategy).pooled:
        return 1, ""
    seconds = tried(config, built)
    size = chosen(seconds)
    found = ", ".join(f"{1e3 * own:.1f} ms as {number}" for number, own in seconds.items())
    return size, f"training.cohort=auto: {size} clients train as one (a client took {found})"


def chosen(seconds: Mapping[int, float]) -> int:
    """Return the smallest number of clients that costs little more than the best; 1 if nothing was measured.

    Args:
        seconds: number of clients that train as one -> seconds a client.
    """
    best = min(seconds.values(), default=0.0)
    return min((size for size, own in seconds.items() if own * _WORTH <= best), default=1)


def tried(config: Config, built: Built) -> dict[int, float]:
    """Return the seconds a client of training in cohorts of some sizes, as far as they fit and can be stacked.

    The first round's clients train, and nothing is measured or kept.
    """
    quiet = {key: value for key, value in config.metrics.items() if not isinstance(value, Mapping)}
    app = built.client_app(replace(config, metrics=quiet))
    seconds: dict[int, float] = {}
    free = _free_bytes(built.device) * (config.engine.client_gpus or 1.0) * _MEMORY
    for size in SIZES:
        run = _Trial(config, built, app, size)
        if not run.is_possible or not run.once():
            break
        began, _ = time.perf_counter(), run.once()
        _wait(built.device)
        seconds[size] = (time.perf_counter() - began) / size
        # The next size is four times as large.
        if built.device.type == "cuda" and 4 * torch.cuda.max_memory_allocated(built.device) > free:
            break
    return seconds


class _Trial:
    """Some clients of the first round, to be trained as one."""

    def __init__(self, config: Config, built: Built, app: CohortApp, size: int) -> None:
        strategy = build_strategy(config)
        declared(strategy).know_layers(built.plan.shared(built.layers))
        weights = built.plan.travelling(split_state(built.module)[0])
        arrays = {name: tensor.cpu().numpy() for name, tensor in weights.items()}
        self.clients = len(built.federation.seen)
        self.messages = first_messages(strategy, arrays, config, self.clients)[:size]
        self.is_possible = len(self.messages) == size
        self.app = app

    def once(self) -> bool:
        """Train them and say whether they were one."""
        for number, message in enumerate(self.messages):
            set_message_id(message, str(number))
        with tempfile.TemporaryDirectory() as folder:
            replies = run_cohort(self.app, self.messages, StateStore(Path(folder)), self.clients)
        return not any(
            reply.has_error() or REMARK in records_of(reply.content, ConfigRecord)[EXTRA] for reply in replies
        )


def _free_bytes(device: torch.device) -> float:
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0.0


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
