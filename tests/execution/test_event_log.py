"""``log.txt``: what a run did and when, also where nothing went wrong."""

import logging
from collections.abc import Callable
from pathlib import Path

from fedlayers.execution.event_log import events


def test_a_run_lists_its_begin_its_rounds_and_its_end(quick_run: Callable[..., Path], tmp_path: Path) -> None:
    words = ["metrics=[weights]", "metrics.weights.rounds=[1,7]", "engine=local"]
    run = quick_run(*words, "rounds=1", folder=tmp_path)
    lines = (run / "log.txt").read_text().splitlines()
    assert [line.split(": ", 1)[1].split()[0] for line in lines] == [
        "run:", "engine:", "note:", "digits", "round", "complete:",
    ]  # fmt: skip
    assert "names 7, and the last round is 1: nothing comes of it" in lines[2]
    assert quick_run(*words, "rounds=2", folder=tmp_path) == run
    later = (run / "log.txt").read_text().splitlines()[len(lines) :]
    assert any(line.endswith("continuing after round 1") for line in later) and "complete: 2 rounds" in later[-1]
    assert events.handlers == [] and events.propagate and events.level == logging.NOTSET
