"""Memory against batch size, where a sweep of batch sizes was written into a run's folder."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from metrics.resource_usage import figures
from metrics.resource_usage.batch_sweep import BatchMemory
from metrics.resource_usage.monitor import ResourceMonitor

FOLDER = "batch_sizes"
HOW = (
    f"memory against batch size (python -m metrics.resource_usage MODULE:FUNCTION --save-dir RUN/{FOLDER} measures it)"
)


def batch_size_figures(run: Path) -> dict[str, Callable[[], Any]]:
    """Return the figure of a sweep that was written into a run's folder, or into that of a tracker; none without."""
    for place in (run / FOLDER, run, run / "resource_usage"):
        if sweep := _sweep_in(place / ResourceMonitor.file):
            return {"memory_vs_batch_size": partial(figures.memory_by_batch_size, sweep)}
    return {}


def _sweep_in(file: Path) -> list[BatchMemory]:
    try:
        measured = json.loads(file.read_bytes())["memory_by_batch_size"]
        return [BatchMemory(one["batch_size"], one["peak_bytes"], one["reason"]) for one in measured]
    except (OSError, ValueError, KeyError, TypeError):
        return []
