"""What views ask first, worked out before somebody waits for it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedlayers.core.errors import UserError
from fedlayers.explore.slow import works
from fedlayers.explore.slow.jobs import asked_key
from fedlayers.explore.slow.kept import Kept
from fedlayers.explore.slow.made_of import made_of
from fedlayers.explore.slow.worker import Asked, Progress
from fedlayers.runs.reading.run_facts import run_facts
from metrics.trajectory.sampled import ALL

WORKS = works.__name__


def work_out(run: Path, kept: Kept, progress: Progress) -> list[str]:
    """Work out what views of a run ask first, unless it is kept, where the service looks; return what could not be.

    Args:
        run: the run's folder.
        kept: the service's results.
        progress: told how much is done.
    """
    contents, refused = made_of(run), []
    questions = list(_questions(run))
    for place, (work, settings) in enumerate(questions):
        progress(place / len(questions), f"{work} of {_of(settings)}")
        asked = Asked(f"{WORKS}:{work}", run, settings)
        key = asked_key(asked, contents)
        if kept.holds(key):
            continue
        try:
            kept.keep(key, getattr(works, work)(run, settings, lambda *_: None))
        except UserError as error:
            refused.append(str(error))
    return refused


def _questions(run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    facts = run_facts(run)
    for layer in (ALL, *(one["name"] for one in facts["layers"])):
        yield "parameters", {"layer": layer, "client": None}
    yield "shifts", {"round": None, "inputs": "client_train"}
    for client in range(facts["clients"]):
        common = {"client": client, "round": None, "inputs": "local"}
        yield "outputs", common
        yield "rounds", {"client": client, "inputs": "local"}
        yield "clusters", common | {"number": None, "linkage": "average"}
        yield "contrast", common | {"alpha": None, "components": 2, "examples": None}


def _of(settings: dict[str, Any]) -> str:
    if "layer" in settings:
        return f"layer {settings['layer']}"
    return f"client {settings['client']}" if "client" in settings else "all clients"
