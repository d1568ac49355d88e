"""What a run says about itself: run.json, the partition's table, the end of the run."""

import importlib.metadata
import logging
import platform
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fedlayers.config.schema.settings import Config, identity
from fedlayers.core import VERSION, survey
from fedlayers.core.errors import UserError
from fedlayers.core.federation import Federation
from fedlayers.core.layers import total
from fedlayers.core.machine.disk import disk_errors
from fedlayers.core.machine.terminal import show
from fedlayers.core.quantities import Facts, stated_by
from fedlayers.execution.build import Built
from fedlayers.execution.own_code import changed, own_code
from fedlayers.export.exporter import Exporter, exporters
from fedlayers.flower.client_contract import declared_client
from fedlayers.flower.packing import LAYER_SHARED
from fedlayers.flower.strategy_contract import declared
from fedlayers.opening.run import Run
from fedlayers.runs.checkpoint import check_resumable
from fedlayers.runs.folder import RunFolder
from fedlayers.runs.reading.tables import read
from fedlayers.views.fairness import fairness_of

logger = logging.getLogger(__name__)

_LIBRARIES = ("torch", "numpy", "flwr", "ray", "flwr-datasets", "pandas", "pyarrow", "scikit-learn")


def facts_of(folder: RunFolder, config: Config, built: Built, engine: str) -> dict[str, Any]:
    """Return the facts of a run that run.json states."""
    return {
        "run": folder.name,
        "study": config.study,
        "dataset": config.dataset["name"],
        "partition": config.partition["name"],
        "model": config.model["name"],
        "algorithm": config.algorithm["name"],
        "objective": config.objective["name"],
        "learner": config.learner["name"],
        "plan": config.plan.name,
        # Which layers are shared stands with each layer; where that changes, in the rows of layer_shared.
        "plan_chosen": built.plan.how if not built.packing.rule.changes else dict(config.plan.rule),
        "engine": engine,
        "seed": config.seed,
        "clients": built.federation.num_clients,
        "fraction": config.fraction,
        "surveyed_clients": config.surveyed_clients,
        "unseen_clients": list(built.federation.unseen),
        "rounds": config.rounds,
        "identity": identity(config),
        "parameters": total(built.layers),
        "shape": list(built.federation.shape),
        "layers": [
            {
                "name": layer.name,
                "index": layer.index,
                "kind": layer.kind,
                "group": layer.group,
                "parameters": total([layer]),
                "shared": built.plan.shares(layer),
            }
            for layer in built.layers
        ],
        **({"tokens": len(built.federation.vocabulary)} if built.federation.has_tokens else {}),
        "classes": list(built.federation.classes),
        # run.json is written anew after every round: numbers need no names.
        "client_names": list(built.federation.names),
        "reason": None,
    }


def note_stretch(
    folder: RunFolder,
    config: Config,
    built: Built,
    engine: str,
    committed: int | None,
    times: Mapping[str, float],
    note: Callable[[str], None],
) -> None:
    """Write down where and from when the coming rounds run; warn if numbers may differ from before."""
    problem = check_resumable(built.strategy)
    if problem:
        note(f"this run cannot be continued if it stops: the state of its strategy cannot be saved ({problem})")
    here = {
        "host": socket.gethostname(),
        "cpu": cpu_name(),
        "device": str(built.device),
        "engine": engine,
        "versions": versions(),
    }
    code = own_code(config)
    facts = folder.facts()
    stretches = list(facts.get("stretches", []))
    if stretches:
        before = stretches[-1]
        moved = [key for key in ("cpu", "device", "versions") if before.get(key) != here[key]]
        if moved:
            note(
                f"continuing with another {' and '.join(moved)} than before: the numbers may differ from those of an "
                "undisturbed run in the last bits"
            )
        if edited := changed(before.get("own_code", {}), code):
            note(
                f"{', '.join(edited)} is not as it was when the rounds before were made: later rounds come of other "
                "code; put the old one back, or start the run anew with force=true"
            )
    stretches.append({"from_round": 0 if committed is None else committed + 1, **here, "own_code": code, **times})
    folder.write_facts({**facts, "stretches": stretches})


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of this program, of Python and of the libraries that decide the numbers."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"fedlayers": VERSION, "python": platform.python_version(), **found}


def cpu_name() -> str:
    """Return the processor's model name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def save_partition(folder: RunFolder, config: Config, federation: Federation) -> None:
    """Write who holds how many examples of which label, and which values were imputed, of those who are surveyed."""
    seen, imputed = federation.seen, federation.imputed
    chosen = [seen[place] for place in survey.surveyed(config.surveyed_clients, len(seen), config.seed)]
    listed = sorted([*chosen, *federation.unseen])
    if config.surveyed_clients is not None:
        imputed = imputed[imputed["client"].isna() | imputed["client"].isin(listed)]
    tables = {"partition": federation.label_counts(listed), "imputed": imputed}
    for name, frame in tables.items():
        if len(frame):
            _save(folder, name, frame)


def _save(folder: RunFolder, name: str, frame: pd.DataFrame) -> None:
    scratch = folder.path / f".{name}.parquet"
    with disk_errors(scratch):
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), scratch, compression="zstd")
    scratch.replace(folder.path / f"{name}.parquet")


def stated(config: Config, built: Built) -> list[Facts]:
    """Return how to read the values of all quantities that metrics, strategy and clients of a run may have rows of."""
    metrics = [facts for metric in built.metrics.values() for facts in metric.facts]
    client = declared_client(config.algorithm["client"])
    of_survey = [] if config.surveyed_clients is None else [survey.FACTS]
    rule = built.packing.rule
    of_plan = [LAYER_SHARED, *stated_by(type(rule))] if rule.changes else []
    facts = [*metrics, *stated_by(type(declared(built.strategy))), *stated_by(client), *of_survey, *of_plan]
    return built.workspace.objective.read(facts)


def draw(folder: RunFolder, config: Config) -> None:
    """Draw the figures of a run whose rounds are done."""
    if config.figures:
        with _told("the figures could not be drawn", f"python -m fedlayers.plot {folder.path} draws them"):
            from fedlayers.figures.draw import draw_main

            draw_main(folder.path)


def export(folder: RunFolder, config: Config) -> None:
    """Write a finished run in the formats that were asked for, and say where; one that fails loses nothing else."""
    if not config.export:
        return
    again = f"python -m fedlayers.export {folder.path} --to"
    with _told("nothing could be exported", f"{again} FORMAT does"):
        run = Run(folder.path)
        for name, exporter in exporters(config.export).items():
            with _told(f"export={name} could not be written", f"{again} {name} writes it"):
                _export(run, exporter)


def _export(run: Run, exporter: Exporter) -> None:
    try:
        if before := exporter.existing(run):
            print(f"export: {before} (there already)")
            return
        written = exporter.write(run)
    except UserError as error:
        print(f"not exported: {error}", file=sys.stderr)
        return
    print(f"export: {written.where}", *(f"note: {note}" for note in written.notes), sep="\n")


def finish(folder: RunFolder, config: Config) -> None:
    """Mark the run as complete, write the report, and tell what came out and where to look.

    From the mark on nothing makes the run fail, not even a module that is not there: no later start would repeat it.
    """
    folder.write_facts({**folder.facts(), "status": "complete", "reason": None})
    with _told("the table of fairness could not be written"):
        _save(folder, "fairness", fairness_of(read(folder.path)))
    wall_s = float(folder.facts()["wall_s"])
    folder.finish(config.rounds, wall_s)
    if config.figures:
        with _told("the report could not be written", f"python -m fedlayers.report {folder.path} makes it again"):
            from fedlayers.report.page import write_report
            from fedlayers.report.room import at_end_of_run

            write_report(folder.path, answers=at_end_of_run(wall_s))
    with _told("what came out could not be summed up", f"the run is in {folder.path}"):
        from fedlayers.execution.summary import summary

        show(summary(folder.path))


@contextmanager
def _told(problem: str, remedy: str = "") -> Iterator[None]:
    """Tell that something of a finished run failed, and what makes up for it, and go on."""
    try:
        yield
    except Exception:
        logger.exception(problem)
        rest = f"; {remedy}" if remedy else ""
        print(f"{problem} (log.txt says why); the tables are complete{rest}", file=sys.stderr)
